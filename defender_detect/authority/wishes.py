"""Wishes: which things are to renew their certificates over the air, and which were removed, and when.

A file beside the configuration that only who issues certificates writes; the service reads it. A wish is fulfilled once
the thing uses a certificate from after it, so that nobody has to take it out.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Optional

import msgspec
from msgspec import Meta

from defender_daemon.dates import moment
from defender_detect.authority.directory import PUBLIC, read, write
from defender_detect.authority.record import Seconds
from defender_detect.authority.renewals import Renewed
from defender_detect.errors import AuthorityError
from device_defender import validation

MICRO = 1_000_000


class Wishes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Things, and when each was asked for."""

    wanted: dict[str, Seconds] = {}
    removed: dict[str, Annotated[int, Meta(ge=0)]] = {}  # in microseconds: a second has room for much

    def wanting(self, things: Iterable[str], now: float) -> "Wishes":
        """Return them with things that are to renew their certificates."""
        return Wishes(wanted={**self.wanted, **dict.fromkeys(things, int(now))}, removed=self.removed)

    def removing(self, thing: str, now: float) -> "Wishes":
        """Return them with a thing all of whose certificates until now are revoked."""
        wanted = {each: at for each, at in self.wanted.items() if each != thing}
        return Wishes(wanted=wanted, removed={**self.removed, thing: int(now * MICRO)})

    def covers(self, thing: str, issued: int) -> bool:
        """Tell whether a thing was removed after a certificate was issued to it over the air (microseconds)."""
        return issued <= self.removed.get(thing, -1)

    def open_for(self, thing: str, renewed: Renewed) -> Optional[int]:
        """Return when the wish was made that a thing has not fulfilled; None if there is none."""
        wanted = self.wanted.get(thing)
        return None if wanted is None or (renewed.committed or 0) >= wanted else wanted


def read_wishes(path: Path) -> Wishes:
    """Return what is in the file; raise AuthorityError if it is damaged or not there."""
    content = read(path)
    if content is None:
        raise AuthorityError(f"there is no {path}: run amazon-defender-detect init --renewal {path.parent}")
    try:
        return validation.read(json.loads(content), Wishes, name="the wishes")
    except (ValueError, RecursionError) as error:
        problems = "; ".join(str(error).splitlines())
        raise AuthorityError(f"{path} is damaged; restore it from a backup: {problems}") from error


def write_wishes(path: Path, wishes: Wishes) -> None:
    """Keep it."""
    write(path, msgspec.json.format(msgspec.json.encode(wishes), indent=1) + b"\n", PUBLIC)


def note_removal(path: Path, thing: str, now: float) -> None:
    """Let no certificate of a thing count that was issued over the air until now, where that is done.

    Now is when it is written: one that the service has issued since the command began must not be left out.
    """
    if read(path) is not None:
        write_wishes(path, read_wishes(path).removing(thing, max(now, time.time())))


def wish_text(seconds: float) -> str:
    """Return when a wish was made as a shadow has it (ISO 8601)."""
    return f"{moment(seconds).isoformat()}Z"

"""Renewals: which certificates things got over the air, and since when those count instead of the ones before.

A file of the service's, which it alone writes; who issues and revokes certificates only reads it. It has one entry for
each thing, however often that asks: a certificate that is not in it was never registered, and lets nobody in.
"""

import json
from pathlib import Path
from typing import Annotated, Optional

import msgspec
from msgspec import Meta

from defender_detect.authority.directory import PRIVATE, read, write
from defender_detect.authority.record import Seconds
from defender_detect.errors import AuthorityError
from device_defender import validation

FILE_NAME = "renewals.json"  # in the state directory
OVER_THE_AIR = "over the air"  # the organizational unit of certificates that count only once they are registered
Serial = Annotated[str, Meta(pattern=r"^[0-9A-F]+$(?!\n)")]  # in hexadecimal digits, as in the record


class Registered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate that was issued over the air and registered."""

    serial: Serial
    issued: Annotated[int, Meta(ge=0)]  # microseconds since the epoch: no two of a thing's are of the same
    ends: Seconds
    by: Optional[Serial] = None  # the certificate of the connection over which it was registered


class Renewed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a thing has got over the air."""

    registered: Optional[Registered] = None  # it may connect with it, and has not said so yet
    in_force: Optional[Registered] = None  # it has; every certificate from before is revoked
    committed: Optional[Seconds] = None  # when that was

    @property
    def latest(self) -> int:
        """When the last one that was registered was issued, in microseconds since the epoch."""
        return max((each.issued for each in (self.registered, self.in_force) if each is not None), default=0)

    def reason_against(self, serial: str, is_over_the_air: bool, issued: float) -> Optional[str]:
        """Return why a certificate of the thing lets nobody in; None if it does."""
        if is_over_the_air:
            known = [each.serial for each in (self.registered, self.in_force) if each is not None]
            return None if serial in known else NOT_REGISTERED
        if self.committed is None:
            return None
        is_replaced = self.in_force is not None and serial == self.in_force.by
        return (
            REPLACED if is_replaced or issued < self.committed else None
        )  # to the second: a bundle may follow at once


NOT_REGISTERED = "has a certificate that is not registered, or that another one has replaced"
REPLACED = "has a certificate that another one has replaced"
NOTHING = Renewed()


class Renewals(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All things that have got certificates over the air."""

    things: dict[str, Renewed] = {}

    def of(self, thing: str) -> Renewed:
        """Return what a thing has got, which may be nothing."""
        return self.things.get(thing, NOTHING)

    def with_thing(self, thing: str, renewed: Renewed) -> "Renewals":
        """Return them with what a thing has got now."""
        return Renewals(things={**self.things, thing: renewed})


def read_renewals(directory: Path) -> Renewals:
    """Return what is kept in a state directory; raise AuthorityError if it is damaged."""
    path = directory / FILE_NAME
    content = read(path)
    if content is None:
        return Renewals()
    try:
        return validation.read(json.loads(content), Renewals, name="the renewals")
    except (ValueError, RecursionError) as error:
        problems = "; ".join(str(error).splitlines())
        raise AuthorityError(
            f"{path} is damaged; restore it from a backup, or remove it and give every thing that was renewed over the "
            f"air a new bundle: {problems}"
        ) from error


def write_renewals(directory: Path, renewals: Renewals) -> None:
    """Keep them, and wait until the disk has them."""
    write(directory / FILE_NAME, msgspec.json.encode(renewals) + b"\n", PRIVATE)

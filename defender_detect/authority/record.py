"""The record: every certificate that was issued to a thing, and which of them are revoked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Optional

import msgspec
from msgspec import Meta

from defender_daemon.dates import moment
from defender_detect.authority.directory import PRIVATE, read, write
from defender_detect.errors import AuthorityError
from device_defender import validation

Seconds = Annotated[int, Meta(ge=0)]  # since the epoch


class Issued(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate of a thing."""

    thing: str
    serial: Annotated[str, Meta(pattern=r"^[0-9A-F]+$(?!\n)")]  # hexadecimal, as `openssl x509 -serial` prints it
    issued: Seconds
    ends: Seconds
    bundle: Optional[str] = None  # where it was written with its key; without that it was never handed over
    complete: bool = False  # whether the bundle was written
    removed: Optional[Seconds] = None  # since when it is revoked

    @property
    def is_current(self) -> bool:
        """Whether the thing was given this certificate and may use it."""
        return self.complete and self.removed is None


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of them, in the order in which they were issued."""

    certificates: list[Issued] = []

    def of(self, thing: str) -> list[Issued]:
        """Return the certificates of a thing."""
        return [each for each in self.certificates if each.thing == thing]

    def current(self, thing: str) -> Optional[Issued]:
        """Return the newest certificate that a thing may use; None if it has none."""
        return next((each for each in reversed(self.of(thing)) if each.is_current), None)

    def things(self) -> list[str]:
        """Return the names of the things that were ever issued a certificate."""
        return sorted({each.thing for each in self.certificates if each.complete})

    def revoked(self) -> list[Issued]:
        """Return the certificates that are revoked."""
        return [each for each in self.certificates if each.removed is not None]

    def adding(self, issued: Issued) -> "Record":
        """Return the record with one more."""
        return Record(certificates=[*self.certificates, issued])

    def changing(self, which: Callable[[Issued], bool], **fields: object) -> "Record":
        """Return the record in which those that `which` picks have other fields."""
        return Record(
            certificates=[
                msgspec.structs.replace(each, **fields) if which(each) else each for each in self.certificates
            ]
        )


def read_record(path: Path) -> Record:
    """Return the record; raise AuthorityError if it is damaged or not there."""
    content = read(path)
    if content is None:
        raise AuthorityError(f"there is no {path}: run amazon-defender-detect init, or restore it from a backup")
    try:
        return validation.read(json.loads(content), Record, name="the record")
    except (ValueError, RecursionError) as error:  # Invalid is a ValueError, as are JSON's and UTF-8's
        problems = "; ".join(str(error).splitlines())
        raise AuthorityError(f"{path} is damaged; restore it from a backup: {problems}") from error


def write_record(path: Path, record: Record) -> None:
    """Keep the record."""
    write(path, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n", PRIVATE)


def date(seconds: float) -> str:
    """Return a moment (seconds since the epoch) as a day."""
    return f"{moment(seconds):%Y-%m-%d}"

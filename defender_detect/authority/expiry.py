"""Expiry: until when each certificate is valid, and what to do about those that end soon."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from defender_daemon.certificate import ends_soon
from defender_daemon.dates import EPOCH, moment
from defender_detect.authority import mosquitto
from defender_detect.authority.directory import Directory
from defender_detect.authority.issuing import read_certificate
from defender_detect.authority.record import Record
from defender_detect.errors import AuthorityError

ANOTHER = (
    "run amazon-defender-detect init with another directory and add every thing there, because what this authority "
    "issued ends with it"
)


@dataclass(frozen=True)
class Ending:
    """When a certificate ends (UTC), whose it is, and what to do about that."""

    whose: str
    begins: datetime
    ends: datetime
    remedy: str

    def days(self, now: datetime) -> int:
        """Return how many whole days are left; fewer than none once it has ended."""
        return (self.ends - now) // timedelta(days=1)

    def is_soon(self, now: datetime) -> bool:
        """Tell whether somebody should do something about it."""
        begins, ends, at = ((each - EPOCH).total_seconds() for each in (self.begins, self.ends, now))
        return ends_soon(begins, ends, at)

    def sentence(self, now: datetime) -> str:
        """Say when it ends, and what to do."""
        when = f"ended on {self.ends:%Y-%m-%d}" if self.ends <= now else f"ends in {self.days(now)} days"
        return f"the certificate of {self.whose} {when}: {self.remedy}"


def own_endings(directory: Directory) -> Iterator[Ending]:
    """Yield the ends of the authority's certificate, Detect's and mosquitto's."""
    authority = read_certificate(directory.authority_certificate)
    if authority is None:
        raise AuthorityError(f"there is no authority in {directory.path}: run amazon-defender-detect init first")
    first, last = _naive(authority.not_valid_before_utc), _naive(authority.not_valid_after_utc)
    yield Ending("the authority", first, last, ANOTHER)
    paths = {"Detect": directory.certificate, "mosquitto": directory.mosquitto / mosquitto.CERTIFICATE}
    for whose, path in paths.items():
        certificate = read_certificate(path)
        if certificate is not None:
            begins, ends = _naive(certificate.not_valid_before_utc), _naive(certificate.not_valid_after_utc)
            yield Ending(whose, begins, ends, ANOTHER if ends >= last else "run amazon-defender-detect renew --server")


def thing_endings(directory: Directory, record: Record) -> Iterator[Ending]:
    """Yield the ends of the certificates that things use, of each thing the newest."""
    authority = read_certificate(directory.authority_certificate)
    last = datetime.max if authority is None else _naive(authority.not_valid_after_utc)
    for thing in record.things():
        current = record.current(thing)
        if current is not None:
            begins, ends = moment(current.issued), moment(current.ends)
            yield Ending(thing, begins, ends, ANOTHER if ends >= last else f"run amazon-defender-detect renew {thing}")


def soon(endings: Iterable[Ending], now: datetime) -> list[str]:
    """Return a sentence for each certificate that ends soon."""
    naive = _naive(now)
    return [each.sentence(naive) for each in endings if each.is_soon(naive)]


def _naive(aware: datetime) -> datetime:
    return aware.replace(tzinfo=None)

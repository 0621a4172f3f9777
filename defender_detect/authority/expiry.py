"""Expiry: until when each certificate is valid, and what to do about those that end soon."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from defender_daemon.certificate import ends_soon
from defender_daemon.dates import EPOCH, moment
from defender_detect.authority import mosquitto
from defender_detect.authority.directory import Directory, read
from defender_detect.authority.issuing import read_certificate
from defender_detect.authority.record import Record, date
from defender_detect.authority.renewals import Renewals, Renewed
from defender_detect.authority.wishes import MICRO, Wishes, read_wishes
from defender_detect.errors import AuthorityError

ANOTHER = (
    "run amazon-defender-detect init with another directory and add every thing there, because what this authority "
    "issued ends with it"
)
NONE = Renewals()


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


def thing_endings(directory: Directory, record: Record, renewals: Renewals = NONE) -> Iterator[Ending]:
    """Yield the ends of the certificates that things use, of each thing the newest, over the air or by a bundle."""
    authority = read_certificate(directory.authority_certificate)
    last = datetime.max if authority is None else _naive(authority.not_valid_after_utc)
    for thing in record.things():
        current = record.current(thing)
        if current is not None:
            issued, ends_at, _ = max((current.issued, current.ends, 0), *_got(renewals.of(thing)))
            begins, ends = moment(issued), moment(ends_at)
            yield Ending(thing, begins, ends, ANOTHER if ends >= last else f"run amazon-defender-detect renew {thing}")


def _got(renewed: Renewed) -> list[tuple[float, int, int]]:
    """Return when the certificate in force that a thing got over the air was issued, and when it ends."""
    got = renewed.in_force
    return [(got.issued / MICRO, got.ends, 1)] if got is not None else [(0.0, 0, 1)]


def waiting(record: Record, wishes: Wishes, renewals: Renewals) -> list[str]:
    """Return a sentence for each thing that was asked to renew its certificate over the air and has not yet."""
    asked = {
        thing: wishes.open_for(thing, renewals.of(thing))
        for thing in record.things()
        if record.current(thing) is not None
    }
    return [f"{each} has not renewed its certificate yet, asked to on {date(at)}" for each, at in asked.items() if at]


def read_waiting(directory: Directory, record: Record, renewals: Renewals) -> list[str]:
    """Return the same by the file of a directory; nothing where certificates are not renewed over the air."""
    if read(directory.over_the_air) is None:
        return []
    return waiting(record, read_wishes(directory.over_the_air), renewals)


def soon(endings: Iterable[Ending], now: datetime) -> list[str]:
    """Return a sentence for each certificate that ends soon."""
    naive = _naive(now)
    return [each.sentence(naive) for each in endings if each.is_soon(naive)]


def _naive(aware: datetime) -> datetime:
    return aware.replace(tzinfo=None)

"""Things: a certificate and a bundle for each, and the end of what it may do.

The record knows of a certificate before anybody has it, so that none is valid that cannot be revoked; the bundle is
written next, and noted last. Whatever of that a kill leaves out, the same command does when it is run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from defender_detect.authority import mosquitto
from defender_detect.authority.bundle import CERTIFICATE, CONFIG, KEY, ROOTS, compose_config, is_there, write_bundle
from defender_detect.authority.certificates import (
    CLOCK_SKEW,
    LONGEST_COMMON_NAME,
    Issuer,
    Validity,
    certify,
    hosts_of,
    new_key,
    pem_of,
    pem_of_key,
)
from defender_detect.authority.directory import PUBLIC, Directory, read, write
from defender_detect.authority.hosts import normal
from defender_detect.authority.issuing import check_clock, open_issuer
from defender_detect.authority.passphrase import Passphrase
from defender_detect.authority.record import Issued, Record, date, read_record, write_record
from defender_detect.authority.serving import RESERVED, certify_detect, detect_certificate
from defender_detect.authority.wishes import note_removal, read_wishes, write_wishes
from defender_detect.errors import AuthorityError
from device_defender.metrics import NAME_WORDS, is_name


@dataclass(frozen=True)
class Wanted:
    """A bundle that was asked for."""

    thing: str
    port: int  # that the broker listens on
    output: Path | None = None  # default: THING.tar, where the command was called
    endpoint: str | None = None  # where the thing finds the broker; default: the first name of its certificate
    renews: bool = False  # the thing gets its further certificates over the air

    @property
    def path(self) -> Path:
        """Where the bundle goes."""
        return (self.output or Path(f"{self.thing}.tar")).absolute()


def add(directory: Directory, wanted: Wanted, now: datetime, passphrase: Passphrase) -> Iterator[str]:
    """Issue a thing its first certificate, or one after it was removed, and write its bundle."""
    check_name(wanted.thing)
    check_clock(now)
    with directory.locked():
        current = read_record(directory.record).current(wanted.thing)
        if current is not None:
            raise AuthorityError(
                f"{wanted.thing} has a certificate already, valid until {date(current.ends)}: `renew {wanted.thing}` "
                f"issues another one, `remove {wanted.thing}` shuts it out"
            )
        yield from _issue(directory, wanted, now, passphrase)


def renew(directory: Directory, wanted: Wanted, now: datetime, passphrase: Passphrase) -> Iterator[str]:
    """Issue a thing another certificate, and write its bundle; the one that it has stays valid meanwhile."""
    check_clock(now)
    with directory.locked():
        _check_added(read_record(directory.record), wanted.thing)
        yield from _issue(directory, wanted, now, passphrase)
    yield f"{wanted.thing} can use the one that it has until it is removed or that ends"


def renew_over_the_air(directory: Directory, names: Sequence[str], now: datetime) -> Iterator[str]:
    """Let things renew their certificates themselves, all of them if none is named, when they are connected."""
    check_clock(now)
    with directory.locked():
        record, wishes = read_record(directory.record), read_wishes(directory.over_the_air)
        for thing in names:
            _check_added(record, thing)
        chosen = names or [each for each in record.things() if record.current(each) is not None]
        write_wishes(directory.over_the_air, wishes.wanting(chosen, now.timestamp()))
    for thing in chosen:
        yield f"{thing} is asked to renew its certificate, at once or when it connects next; `list` says whether it has"
    if not chosen:
        yield "no thing has a certificate: `add` issues the first one"


def renew_server(directory: Directory, now: datetime, passphrase: Passphrase) -> Iterator[str]:
    """Issue Detect's certificate again, for the same key and hosts, and mosquitto's."""
    check_clock(now)
    with directory.locked():
        issuer = open_issuer(directory, passphrase, now)
        hosts = hosts_of(detect_certificate(directory))
        made = certify_detect(directory, issuer, hosts, now)
        yield f"renewed {directory.certificate}, valid until {made.not_valid_after_utc:%Y-%m-%d}"
        if mosquitto.is_used(directory):
            yield from mosquitto.renew(directory, issuer, hosts, now)


def remove(directory: Directory, thing: str, now: datetime, passphrase: Passphrase) -> Iterator[str]:
    """Revoke every certificate of a thing: the built-in broker's list is written first, then mosquitto's."""
    check_clock(now)
    with directory.locked():
        record = read_record(directory.record)
        if not record.of(thing):
            raise AuthorityError(f"no certificate was issued to {thing!a}; `list` has the names of those that have one")
        issuer = open_issuer(directory, passphrase, now) if mosquitto.is_used(directory) else None
        stamp = int(now.timestamp())
        after = record.changing(lambda each: each.thing == thing and each.removed is None, removed=stamp)
        _shut_out(directory, after)
        if issuer is not None:
            mosquitto.write_revoked(directory, issuer, after, now)
        if after != record:
            note_removal(directory.over_the_air, thing, now.timestamp())
        write_record(directory.record, after)
    number, is_new = len(record.of(thing)), any(each.removed is None for each in record.of(thing))
    yield f"{thing} is shut out{'' if is_new else ' already'}: {number} certificate{'s'[: number != 1]} revoked"


def check_name(thing: str) -> None:
    """Raise AuthorityError for what cannot be a thing's name here."""
    if not is_name(thing):
        raise AuthorityError(f"a thing's name must be {NAME_WORDS}, as in AWS IoT, got {thing[:200]!a}")
    if len(thing) > LONGEST_COMMON_NAME:
        raise AuthorityError(
            f"a thing's name must have at most {LONGEST_COMMON_NAME} characters here, because a certificate has room "
            f"for no more, got {len(thing)}"
        )
    if thing in RESERVED:
        raise AuthorityError(f"a thing cannot be called {thing}, as a part of Detect is called: choose another name")


def _issue(directory: Directory, wanted: Wanted, now: datetime, passphrase: Passphrase) -> Iterator[str]:
    record, path = read_record(directory.record), wanted.path
    _refuse_to_replace(record, wanted)
    endpoint = _endpoint(directory, wanted)
    issuer = open_issuer(directory, passphrase, now)
    key, validity = new_key(), Validity(now - CLOCK_SKEW, issuer.certificate.not_valid_after_utc)
    certificate = certify(issuer, wanted.thing, key.public_key(), validity)
    issued = Issued(
        thing=wanted.thing, serial=f"{certificate.serial_number:X}", issued=int(now.timestamp()),
        ends=int(validity.ends.timestamp()), bundle=str(path),
    )  # fmt: skip
    record = _without_incomplete(directory, record, issuer, wanted.thing, now).adding(issued)
    write_record(directory.record, record)
    contents = {
        CONFIG: compose_config(wanted.thing, endpoint, wanted.port, wanted.renews),
        CERTIFICATE: pem_of(certificate),
        KEY: pem_of_key(key),
        ROOTS: read(directory.roots) or b"",
    }
    write_bundle(path, contents)
    write_record(directory.record, record.changing(lambda each: each.serial == issued.serial, complete=True))
    yield f"made {path}, for {endpoint} port {wanted.port}, valid until {date(issued.ends)}"


def _without_incomplete(directory: Directory, record: Record, issuer: Issuer, thing: str, now: datetime) -> Record:
    """Revoke what a run that was killed had issued to a thing: nobody knows who has it."""

    def is_left(each: Issued) -> bool:
        return each.thing == thing and not each.complete and each.removed is None

    if not any(map(is_left, record.certificates)):
        return record
    after = record.changing(is_left, removed=int(now.timestamp()))
    _shut_out(directory, after)
    if mosquitto.is_used(directory):
        mosquitto.write_revoked(directory, issuer, after, now)
    return after


def _refuse_to_replace(record: Record, wanted: Wanted) -> None:
    """Raise AuthorityError where a file is in the place of the bundle that is not a bundle of this thing."""
    if is_there(wanted.path) and str(wanted.path) not in {each.bundle for each in record.of(wanted.thing)}:
        raise AuthorityError(f"{wanted.path} is there already: move it away, or name another file by --output")


def _check_added(record: Record, thing: str) -> None:
    if record.current(thing) is None:
        raise AuthorityError(f"{thing[:200]!a} has no certificate that could be renewed: `add` issues the first one")


def _endpoint(directory: Directory, wanted: Wanted) -> str:
    """Return where a thing connects to; raise AuthorityError for a host that Detect's certificate is not for."""
    hosts = hosts_of(detect_certificate(directory))
    if wanted.endpoint is None:
        return hosts[0]
    endpoint = normal(wanted.endpoint)
    if endpoint not in hosts:
        raise AuthorityError(
            f"Detect's certificate is for {', '.join(hosts)}, and not for {endpoint}: run init {directory.path} "
            f"--listen {endpoint} first"
        )
    return endpoint


def _shut_out(directory: Directory, record: Record) -> None:
    """Add to the built-in broker's list what is revoked and not in it; the lines of people stay."""
    text = (read(directory.revoked) or b"").decode("utf-8-sig", errors="surrogateescape")
    missing = [
        f"serial {each.serial}  # {each.thing}, removed on {date(each.removed or 0)}\n"
        for each in record.revoked()
        if each.serial not in text
    ]
    if missing:
        start = text if not text or text.endswith("\n") else text + "\n"
        write(directory.revoked, (start + "".join(missing)).encode("utf-8", errors="surrogateescape"), PUBLIC)

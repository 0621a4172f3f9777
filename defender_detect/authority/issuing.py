"""Issuing: an authority is made once, and opened each time a certificate is to be signed.

The key is on the disk before the certificate, and never changes: a run that was killed between the two is continued by
the next one.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from defender_daemon.dates import moment
from defender_daemon.rungs import RELEASE_DAY
from defender_detect.authority.certificates import (
    CLOCK_SKEW,
    Issuer,
    Validity,
    is_authority,
    new_key,
    pem_of,
    pem_of_key,
    sign_itself,
)
from defender_detect.authority.directory import PRIVATE, Directory, read, write
from defender_detect.authority.passphrase import Passphrase
from defender_detect.errors import AuthorityError

YEARS = 10
VALIDITY = timedelta(days=365 * YEARS + YEARS // 4)  # of the authority, and of what it issues on its first day
EARLIEST = moment(RELEASE_DAY).replace(tzinfo=timezone.utc)  # no clock that is right is behind this
MINUTE = "%Y-%m-%d %H:%M UTC"
SET_THE_CLOCK = "set it (timedatectl set-ntp true), and run this again"


def find_or_make(directory: Directory, name: str, now: datetime, passphrase: Passphrase) -> tuple[Issuer, bool]:
    """Return the authority, and whether it had to be made: its key, its certificate, or both."""
    key_pem, certificate = read(directory.authority_key), read_certificate(directory.authority_certificate)
    if certificate is not None and key_pem is None:
        raise _without_key(directory)
    if certificate is not None:
        return open_issuer(directory, passphrase, now), False
    if key_pem is None:
        key = new_key()
        write(directory.authority_key, pem_of_key(key, passphrase.for_new_key()), PRIVATE)
    else:  # a run was killed here
        key = read_key(directory.authority_key, key_pem, passphrase)
    made = sign_itself(name, key, Validity(now - CLOCK_SKEW, now + VALIDITY))
    write(directory.authority_certificate, pem_of(made))
    return Issuer(made, key), True


def open_issuer(directory: Directory, passphrase: Passphrase, now: datetime) -> Issuer:
    """Return the authority, ready to sign; raise AuthorityError for one that is not whole, or not valid now."""
    certificate, pem = read_certificate(directory.authority_certificate), read(directory.authority_key)
    if certificate is None:
        raise AuthorityError(f"there is no authority in {directory.path}: run amazon-defender-detect init first")
    if pem is None:
        raise _without_key(directory)
    if not is_authority(certificate):
        raise AuthorityError(
            f"{directory.authority_certificate} must be an authority's certificate, and is another one; restore the "
            "one that init made, or run init with another directory"
        )
    key = read_key(directory.authority_key, pem, passphrase)
    if key.public_key() != certificate.public_key():
        raise AuthorityError(
            f"{directory.authority_certificate} and {directory.authority_key} do not belong together: restore the two "
            "that init made, or run init with another directory"
        )
    _check_dates(certificate, directory, now)
    return Issuer(certificate, key)


def check_clock(now: datetime) -> None:
    """Raise AuthorityError if the clock is that of a machine which does not know the time."""
    if now < EARLIEST:
        raise AuthorityError(
            f"this machine's clock says {now:{MINUTE}}, and no certificate can begin then: {SET_THE_CLOCK}"
        )


def read_certificate(path: Path) -> x509.Certificate | None:
    """Return the certificate in a file, None without the file."""
    pem = read(path)
    if pem is None:
        return None
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise AuthorityError(f"{path} must be a certificate (PEM), and is not; restore it from a backup") from error


def read_key(path: Path, pem: bytes, passphrase: Passphrase) -> ec.EllipticCurvePrivateKey:
    """Return the private key that a file holds, opened by its pass phrase where it has one."""
    phrase = passphrase.for_key(path) if b"ENCRYPTED" in pem else None
    try:
        key = serialization.load_pem_private_key(pem, password=phrase)
    except (ValueError, TypeError) as error:
        problem = "the pass phrase does not open it" if phrase else "it is damaged; restore it from a backup"
        raise AuthorityError(f"{path} cannot be used: {problem}") from error
    if not (isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)):
        raise AuthorityError(f"{path} must be a key on the curve P-256, as init makes it, and is another one")
    return key


def _check_dates(certificate: x509.Certificate, directory: Directory, now: datetime) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begins:
        raise AuthorityError(
            f"this machine's clock says {now:{MINUTE}}, before the authority of {directory.path} began "
            f"({begins:{MINUTE}}): {SET_THE_CLOCK}"
        )
    if now >= ends:
        raise AuthorityError(
            f"the authority of {directory.path} ended on {ends:%Y-%m-%d}: run init with another directory, and add "
            "every thing there"
        )


def _without_key(directory: Directory) -> AuthorityError:
    return AuthorityError(
        f"{directory.authority_key} is missing, without which nothing can be issued: restore it from a backup, or run "
        "init with another directory"
    )

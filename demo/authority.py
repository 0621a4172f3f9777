"""A throw-away certificate authority: certificates for a broker and its things, for the demo and the tests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from defender_detect.authority.certificates import (
    CLIENT,
    CLOCK_SKEW,
    SERVER,
    Issuer,
    Validity,
    certify,
    new_key,
    pem_of,
    pem_of_key,
    sign_itself,
)

VALIDITY = timedelta(days=1)  # of the authority: long enough for a demo, and too short for anything else
# Of what it issues, as of every certificate that AWS IoT issues: after the end of a `time_t` of 32 bits.
END = datetime(2049, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
LOCAL_HOSTS = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Files:
    """Where a certificate and its private key are."""

    certificate: Path
    private_key: Path


class Authority:
    """A certificate authority that lives in a directory; two of them do not trust each other's certificates."""

    def __init__(self, directory: Path, name: str = "throw-away CA", validity: timedelta = VALIDITY) -> None:
        """Make the authority's key and certificate, and the directory with mode 0700."""
        self._directory = directory
        key, now = new_key(), datetime.now(timezone.utc)
        self._issuer = Issuer(sign_itself(name, key, Validity(now - CLOCK_SKEW, now + validity)), key)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.certificate = write(directory / "ca.pem", pem_of(self._issuer.certificate), 0o644)

    @property
    def issuer(self) -> Issuer:
        """What signs."""
        return self._issuer

    def issue(
        self,
        name: str,
        hosts: Sequence[str] = (),
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> Files:
        """Issue a certificate for a thing, or for a server if it has `hosts` (names and addresses).

        A server's is a client's too, because Detect is both. It outlives the authority, without which nobody trusts it.
        """
        validity = Validity(not_before or datetime.now(timezone.utc) - CLOCK_SKEW, not_after or END)
        key, uses = new_key(), (CLIENT, SERVER) if hosts else (CLIENT,)
        certificate = certify(self._issuer, name, key.public_key(), validity, hosts, uses)
        return Files(
            write(self._directory / f"{name}.pem", pem_of(certificate), 0o644),
            write(self._directory / f"{name}.key", pem_of_key(key), 0o600),
        )

    def sign(self, name: str, public_key: ec.EllipticCurvePublicKey) -> str:
        """Return a certificate for a key that somebody else has, in PEM form."""
        validity = Validity(datetime.now(timezone.utc) - CLOCK_SKEW, END)
        return pem_of(certify(self._issuer, name, public_key, validity)).decode()

    def issue_expired(self, name: str, hosts: Sequence[str] = ()) -> Files:
        """Issue a certificate that was valid until an hour ago."""
        now = datetime.now(timezone.utc)
        return self.issue(name, hosts, now - timedelta(days=2), now - timedelta(hours=1))

    def issue_not_yet_valid(self, name: str, hosts: Sequence[str] = ()) -> Files:
        """Issue a certificate that is valid from tomorrow on."""
        now = datetime.now(timezone.utc)
        return self.issue(name, hosts, now + timedelta(days=1), now + timedelta(days=2))


def write(path: Path, content: bytes, mode: int) -> Path:
    """Write a file that has its mode from the moment it exists; one that is there is replaced."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    return path

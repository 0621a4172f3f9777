"""The registrar: a thing that has a certificate is issued another one, by the calls of AWS's fleet provisioning.

Three steps, of which only the last two are kept: a certificate is issued, which lets nobody in yet; it is registered,
and lets the thing in beside the one before; the thing says over a connection with it that it is in place, and the ones
before end. Whatever a kill leaves out, the thing asks for again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from defender_daemon.dates import moment
from defender_detect.authority.certificates import (
    CLOCK_SKEW,
    Issuer,
    Validity,
    certify,
    is_authority,
    is_issued_by,
    pem_of,
)
from defender_detect.authority.directory import read
from defender_detect.authority.issuing import read_key
from defender_detect.authority.passphrase import Passphrase
from defender_detect.authority.renewals import OVER_THE_AIR, Registered, Renewed, read_renewals, write_renewals
from defender_detect.authority.requests import public_key_of
from defender_detect.authority.serving import RESERVED
from defender_detect.authority.wishes import MICRO
from defender_detect.errors import AuthorityError, RequestRefused

TOKEN_SECONDS = 3600  # AWS's: how long a certificate can be registered
PURPOSE = b"amazon-defender-detect: ownership of a certificate"  # so that this use of the key is no other one's
USED = "the token is not valid, too old, used up, or another certificate was registered since"


class Asker(NamedTuple):
    """Who asks, by the certificate of its connection."""

    thing: str
    serial: str  # in hexadecimal digits
    certificate: bytes  # DER
    is_over_the_air: bool


class Created(NamedTuple):
    """A certificate that waits to be registered."""

    token: str
    identifier: str  # the SHA-256 of the certificate, as AWS's certificate IDs are
    pem: str


@dataclass(frozen=True)
class Registrar:
    """Issues certificates to things that have one; what they have got is kept in a state directory."""

    issuer: Issuer
    state: Path
    days: float | None = None  # how long a certificate lasts; None: as long as the authority

    def create(self, asker: Asker, request: str, now: float) -> Created:
        """Issue a certificate for the public key of a request, and for the asker alone; raise RequestRefused."""
        self._check(asker)
        key = public_key_of(request)
        issued = moment(now).replace(tzinfo=timezone.utc)
        validity = Validity(issued - CLOCK_SKEW, self.end(now))
        made = certify(self.issuer, asker.thing, key, validity, unit=OVER_THE_AIR)
        identifier = hashlib.sha256(made.public_bytes(serialization.Encoding.DER)).hexdigest()
        ends = int(validity.ends.timestamp())
        registered = Registered(serial=f"{made.serial_number:X}", issued=int(now * MICRO), ends=ends)
        return Created(self._token(asker.thing, registered), identifier, pem_of(made).decode())

    def register(self, asker: Asker, token: str, now: float) -> None:
        """Let a certificate in that was created for the asker, and keep that; raise RequestRefused."""
        found, renewals = self._redeem(asker.thing, token), read_renewals(self.state)
        renewed = renewals.of(asker.thing)
        is_late = found is None or not 0 <= now * MICRO - found.issued <= TOKEN_SECONDS * MICRO
        if found is None or is_late or found.issued <= renewed.latest <= now * MICRO:
            raise RequestRefused(400, "InvalidCertificateOwnershipToken", USED)
        found = msgspec.structs.replace(found, by=asker.serial)
        renewed = msgspec.structs.replace(renewed, registered=found)
        write_renewals(self.state, renewals.with_thing(asker.thing, renewed))

    def commit(self, asker: Asker, identifier: str, now: float) -> bool:
        """End the certificates from before the one that the asker uses, if that is the one it says and new."""
        renewals = read_renewals(self.state)
        renewed = renewals.of(asker.thing)
        waiting = renewed.registered
        if waiting is None or not asker.is_over_the_air or waiting.serial != asker.serial:
            return False
        if not hmac.compare_digest(hashlib.sha256(asker.certificate).hexdigest().encode(), identifier.lower().encode()):
            return False
        write_renewals(self.state, renewals.with_thing(asker.thing, Renewed(in_force=waiting, committed=int(now))))
        return True

    def end(self, now: float) -> datetime:
        """Return until when a certificate is valid that is issued now."""
        last = self.issuer.certificate.not_valid_after_utc
        if self.days is None:
            return last
        return min(last, moment(now).replace(tzinfo=timezone.utc) + timedelta(days=self.days))

    def _check(self, asker: Asker) -> None:
        """Refuse whoever is no thing of this authority: one of another that is trusted meanwhile, or a server."""
        certificate = x509.load_der_x509_certificate(asker.certificate)
        if asker.thing in RESERVED or not is_issued_by(certificate, self.issuer.certificate):
            raise RequestRefused(403, "AccessDenied", "the certificate of this connection is not one of a thing here")

    def _token(self, thing: str, registered: Registered) -> str:
        """Return what proves that a certificate was created for a thing: a signature, so that nothing need be kept."""
        content = msgspec.json.encode(registered)
        return base64.urlsafe_b64encode(self._sign(thing, content) + content).decode()

    def _redeem(self, thing: str, token: str) -> Registered | None:
        """Return what a token is for; None for one that was not made here, or for another thing."""
        try:
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError:  # binascii.Error and UnicodeError are
            return None
        size = hashlib.sha256().digest_size
        signature, content = raw[:size], raw[size:]
        is_ours = hmac.compare_digest(signature, self._sign(thing, content))
        return msgspec.json.decode(content, type=Registered) if is_ours else None

    def _sign(self, thing: str, content: bytes) -> bytes:
        key = self.issuer.key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        secret = hmac.digest(key, PURPOSE, "sha256")
        return hmac.digest(secret, thing.encode() + b"\0" + content, "sha256")


def issuer_of(path: Path, pem: bytes, roots: Path, passphrase: Passphrase) -> Issuer:
    """Return the authority whose key this is, among those that are trusted; raise AuthorityError if it is none."""
    key, content = read_key(path, pem, passphrase), read(roots) or b""
    try:
        trusted = x509.load_pem_x509_certificates(content)
    except ValueError:
        trusted = []
    for certificate in trusted:
        if is_authority(certificate) and certificate.public_key() == key.public_key():
            return Issuer(certificate, key)
    raise AuthorityError(
        f"{roots} must have the authority whose key is in {path}, and has not: things trust another one"
    )

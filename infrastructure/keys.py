"""The things' private keys: made here, kept here; only certificate signing requests leave."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infrastructure.errors import DeployError
from infrastructure.private_file import (
    is_directory,
    lock_directory,
    make_directory,
    read_file,
    refuse_link,
    remove_file,
    rename_file,
    write_file,
)

LONGEST_COMMON_NAME = 64  # X.509's upper bound; a thing's name may have 128


@dataclass(frozen=True)
class KeyFiles:
    """Where a private key and the request for its certificate are."""

    key: Path
    request: Path


class KeyStore:
    """The keys of a fleet, in a directory per thing.

    A new key waits as private.key.new until there is a certificate for it; then the two take their places together.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def request(self, thing: str) -> str:
        """Return the request (PEM) for a thing that is not deployed: of the key that it has, or else of a new one."""
        with self.locked(thing, make=True):
            for files in (self._current(thing), self._pending(thing)):
                if key := read_key(files.key):
                    return _keep_request(thing, key, files.request)
            return self._begin(thing)

    def renew(self, thing: str, deployed: str | None = None) -> str:
        """Return the request (PEM) of the key that is to replace private.key, which stays until that is done.

        A key that waits already is taken, because its certificate may be deployed although this was not noted here;
        if it is the one of the request that is `deployed`, it takes its place, and there is another new one.
        """
        with self.locked(thing, make=True):
            pending = self._pending(thing)
            key = read_key(pending.key)
            if key and deployed and is_for(deployed, key):
                self._promote(thing)
                key = None
            return _keep_request(thing, key, pending.request) if key else self._begin(thing)

    def settle(self, thing: str, certificate_pem: str, request: str) -> bool:
        """Put a deployed certificate beside its key, and tell whether its key is here.

        `request` (PEM) is what was deployed. Interrupted anywhere, it leaves no certificate beside another's key, and
        the next call ends what this one began.
        """
        certificate = _read_certificate(thing, certificate_pem)
        with self.locked(thing) as exists:
            if not exists:
                return False
            key = self._find_key(thing, certificate)
            if key is None:
                return False
            kept = self._current(thing).request
            if is_for(request, key) and read_file(kept) != request.encode():
                write_file(kept, request.encode())
            if read_key(self._pending(thing).key) is None:
                remove_file(self._pending(thing).request)  # of a key that has its place already
            write_file(self.certificate(thing), certificate_pem.encode())  # last, because `settled` looks at it
            return True

    def settled(self, thing: str, certificate_id: str) -> bool:
        """Tell whether the files here are those of the deployed certificate: this one, and the key that it is for."""
        pem = read_file(self.certificate(thing))
        try:
            certificate = x509.load_pem_x509_certificate(pem or b"")
        except ValueError:
            return False
        if certificate.fingerprint(hashes.SHA256()).hex() != certificate_id:
            return False
        key = read_key(self.private_key(thing))
        return key is not None and certificate.public_key() == key.public_key()

    def discard_pending(self, thing: str) -> None:
        """Remove a new key that was never deployed."""
        with self.locked(thing) as exists:
            if exists:
                remove_file(self._pending(thing).request)
                remove_file(self._pending(thing).key)

    def certificate(self, thing: str) -> Path:
        """Return where a thing's certificate is, once it is settled."""
        return self.directory / thing / "certificate.pem"

    def private_key(self, thing: str) -> Path:
        """Return where a thing's private key is, once it is settled."""
        return self._current(thing).key

    def _current(self, thing: str) -> KeyFiles:
        return KeyFiles(self.directory / thing / "private.key", self.directory / thing / "request.csr")

    def _pending(self, thing: str) -> KeyFiles:
        return KeyFiles(self.directory / thing / "private.key.new", self.directory / thing / "request.csr.new")

    def _begin(self, thing: str) -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        pending = self._pending(thing)
        write_file(pending.key, _pem_of_key(key))
        return _keep_request(thing, key, pending.request)

    def _find_key(self, thing: str, certificate: x509.Certificate) -> ec.EllipticCurvePrivateKey | None:
        """Return the key of a certificate, which has its place then; None if it is not here."""
        current, pending = read_key(self._current(thing).key), read_key(self._pending(thing).key)
        if current and certificate.public_key() == current.public_key():
            return current
        if pending and certificate.public_key() == pending.public_key():
            self._promote(thing)
            return pending
        return None

    def _promote(self, thing: str) -> None:
        """Let the new key take its place; the certificate there is the old key's, and so goes first."""
        current, pending = self._current(thing), self._pending(thing)
        remove_file(self.certificate(thing))
        rename_file(pending.key, current.key)
        rename_file(pending.request, current.request, missing_ok=True)

    @contextmanager
    def locked(self, thing: str, make: bool = False) -> Iterator[bool]:
        """Keep other deployments here away from a thing's files; yields whether the thing has a directory."""
        directory = self.directory / thing
        refuse_link(directory)
        if make:
            make_directory(self.directory)
            make_directory(directory)
        exists = is_directory(directory)
        with lock_directory(directory) if exists else nullcontext():
            yield exists


def read_key(path: Path) -> ec.EllipticCurvePrivateKey | None:
    """Return the private key in a file, None without the file; raise DeployError if it is none of ours."""
    pem = read_file(path)
    if pem is None:
        return None
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:  # TypeError: it has a pass phrase
        raise DeployError(
            f"{path} must be a private key in PEM without a pass phrase; move it away for a new one"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise DeployError(f"{path} must be a key on the curve P-256; move it away for a new one")
    return key


def is_for(request: str, key: ec.EllipticCurvePrivateKey) -> bool:
    """Tell whether a request (PEM) is for a key's certificate."""
    try:
        return x509.load_pem_x509_csr(request.encode()).public_key() == key.public_key()
    except ValueError:
        return False


def common_name(thing: str) -> str:
    """Return what a certificate calls its thing: its name, or the beginning of a long one and a hash.

    Nothing goes by it: AWS IoT knows a thing's certificate by the attachment.
    """
    if len(thing) <= LONGEST_COMMON_NAME:
        return thing
    suffix = "-" + hashlib.sha256(thing.encode()).hexdigest()[:8]
    return thing[: LONGEST_COMMON_NAME - len(suffix)] + suffix


def _keep_request(thing: str, key: ec.EllipticCurvePrivateKey, path: Path) -> str:
    """Return a key's request, made once: each signature is another one, and another request is another certificate."""
    kept = (read_file(path) or b"").decode("ascii", errors="replace")
    if is_for(kept, key):
        return kept
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name(thing))])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM)
    write_file(path, pem)
    return pem.decode()


def _read_certificate(thing: str, pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise DeployError(f"the certificate of {thing} must be PEM, and is not") from error


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

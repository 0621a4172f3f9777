"""Serving: the certificates of Detect itself and of mosquitto, whose keys stay when a certificate is renewed.

So a renewal replaces one file, and no kill leaves a certificate beside another's key.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509

from defender_detect.authority.certificates import (
    CLIENT,
    CLOCK_SKEW,
    SERVER,
    Issuer,
    Validity,
    certify,
    hosts_of,
    is_issued_by,
    new_key,
    pem_of,
    pem_of_key,
)
from defender_detect.authority.directory import PRIVATE, Directory, read, write
from defender_detect.authority.issuing import read_certificate, read_key
from defender_detect.authority.passphrase import Passphrase
from defender_detect.errors import AuthorityError

DETECT = "amazon-defender-detect"  # the common name of Detect's certificate, which mosquitto's access list goes by
MOSQUITTO = "mosquitto"
RESERVED = (DETECT, MOSQUITTO)  # no thing can have these names
NO_PASSPHRASE = Passphrase(can_ask=lambda: False)  # a daemon's key has none


def certify_detect(directory: Directory, issuer: Issuer, hosts: Sequence[str], now: datetime) -> x509.Certificate:
    """Issue Detect's certificate; it is a client's and a server's, because Detect is both."""
    return certify_server(directory.certificate, directory.key, issuer, DETECT, hosts, (CLIENT, SERVER), now)


def certify_server(
    path: Path,
    key_path: Path,
    issuer: Issuer,
    name: str,
    hosts: Sequence[str],
    uses: Sequence[x509.ObjectIdentifier],
    now: datetime,
) -> x509.Certificate:
    """Issue a certificate for the key in a file, which is made if there is none; it ends with the authority."""
    pem = read(key_path)
    if pem is None:
        key = new_key()
        write(key_path, pem_of_key(key), PRIVATE)
    else:
        key = read_key(key_path, pem, NO_PASSPHRASE)
    validity = Validity(now - CLOCK_SKEW, issuer.certificate.not_valid_after_utc)
    made = certify(issuer, name, key.public_key(), validity, hosts, uses)
    write(path, pem_of(made))
    return made


def why_to_certify(path: Path, key_path: Path, authority: x509.Certificate, hosts: Sequence[str]) -> str:
    """Return why a server needs a certificate: it has none, or one for another key or for fewer hosts; '' if not.

    Raises AuthorityError for a certificate of another authority, which is somebody's own and not replaced.
    """
    certificate, pem = read_certificate(path), read(key_path)
    if certificate is None or pem is None:
        return "made"
    if not is_issued_by(certificate, authority):
        raise AuthorityError(
            f"{path} is another authority's and not issued by the one here: move it away for a new one, or run init "
            "with another directory"
        )
    if read_key(key_path, pem, NO_PASSPHRASE).public_key() != certificate.public_key():
        return "repaired"
    return "" if set(hosts) <= set(hosts_of(certificate)) else "renewed"


def detect_certificate(directory: Directory) -> x509.Certificate:
    """Return Detect's certificate; raise AuthorityError if there is none."""
    certificate = read_certificate(directory.certificate)
    if certificate is None:
        raise AuthorityError(f"there is no {directory.certificate}: run amazon-defender-detect init {directory.path}")
    return certificate

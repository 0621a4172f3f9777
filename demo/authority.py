"""A throw-away certificate authority: certificates for a broker and its things, for the demo and the tests."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY = timedelta(days=1)  # of the authority: long enough for a demo, and too short for anything else
# Of what it issues, as of every certificate that AWS IoT issues: after the end of a `time_t` of 32 bits.
END = datetime(2049, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
CLOCK_SKEW = timedelta(minutes=5)  # a certificate is valid that long before it was made
LOCAL_HOSTS = ("localhost", "127.0.0.1")
SIGN_CERTIFICATES, SIGN_DATA = ("key_cert_sign", "crl_sign"), ("digital_signature",)  # what a key is for


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
        self._validity = validity
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.certificate = write(directory / "ca.pem", pem_of(self._sign_itself()), 0o644)

    def issue(
        self,
        name: str,
        hosts: Sequence[str] = (),
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> Files:
        """Issue a certificate for a thing, or for a server if it has `hosts` (names and addresses).

        It outlives the authority, without which nobody trusts it.
        """
        start = not_before or datetime.now(timezone.utc) - CLOCK_SKEW
        key = ec.generate_private_key(ec.SECP256R1())
        builder = describe(name, key.public_key(), start, not_after or END)
        builder = builder.issuer_name(self._subject).add_extension(self._key_identifier(), critical=False)
        builder = add_uses(builder, hosts)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Files(
            write(self._directory / f"{name}.pem", pem_of(certificate), 0o644),
            write(self._directory / f"{name}.key", pem_of_key(key), 0o600),
        )

    def issue_expired(self, name: str, hosts: Sequence[str] = ()) -> Files:
        """Issue a certificate that was valid until an hour ago."""
        now = datetime.now(timezone.utc)
        return self.issue(name, hosts, now - timedelta(days=2), now - timedelta(hours=1))

    def issue_not_yet_valid(self, name: str, hosts: Sequence[str] = ()) -> Files:
        """Issue a certificate that is valid from tomorrow on."""
        now = datetime.now(timezone.utc)
        return self.issue(name, hosts, now + timedelta(days=1), now + timedelta(days=2))

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())

    def _sign_itself(self) -> x509.Certificate:
        start = datetime.now(timezone.utc) - CLOCK_SKEW
        name = self._subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        builder = describe(str(name), self._key.public_key(), start, start + CLOCK_SKEW + self._validity)
        builder = builder.issuer_name(self._subject)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(key_usage(SIGN_CERTIFICATES), critical=True)
        return builder.sign(self._key, hashes.SHA256())


def describe(name: str, key: ec.EllipticCurvePublicKey, start: datetime, end: datetime) -> x509.CertificateBuilder:
    """Begin a certificate: whose it is, which key, and how long it is valid."""
    builder = x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
    builder = builder.public_key(key).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(end)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def add_uses(builder: x509.CertificateBuilder, hosts: Sequence[str]) -> x509.CertificateBuilder:
    """Say what the certificate is for: a client, and with `hosts` a server too (Detect is both)."""
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(key_usage(SIGN_DATA), critical=True)
    uses = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])
    builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    if not hosts:
        return builder
    return builder.add_extension(
        x509.SubjectAlternativeName([alternative_name(host) for host in hosts]), critical=False
    )


def alternative_name(host: str) -> x509.GeneralName:
    """Turn a host's name or address into the form that a certificate has it in."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def key_usage(uses: Sequence[str]) -> x509.KeyUsage:
    """Make the extension that Python 3.13 insists on."""
    every_use = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{use: use in uses for use in every_use.split()})


def pem_of(certificate: x509.Certificate) -> bytes:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as PEM, without a pass phrase: a daemon cannot type one."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write(path: Path, content: bytes, mode: int) -> Path:
    """Write a file that has its mode from the moment it exists; one that is there is replaced."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    return path

"""Certificates (X.509): an authority's own, those that it issues, and its list of those that are revoked (a CRL).

All keys made here are on P-256, the curve that AWS IoT, mosquitto and the smallest boards take. Nothing here reads a
clock or a file. That OpenSSL's strict checks pass, which Python 3.13 makes by default, is tested.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Union

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLOCK_SKEW = timedelta(minutes=5)  # a certificate is valid that long before it was made, for a clock that is behind
SIGN_CERTIFICATES, SIGN_DATA = ("key_cert_sign", "crl_sign"), ("digital_signature",)  # what a key is for
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
PublicKey = Union[ec.EllipticCurvePublicKey, rsa.RSAPublicKey]
LONGEST_COMMON_NAME = 64  # characters; X.509's upper bound
ALL_USES = (
    "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
    "key_cert_sign crl_sign encipher_only decipher_only"
)


@dataclass(frozen=True)
class Validity:
    """From when until when a certificate is valid, UTC."""

    begins: datetime
    ends: datetime


@dataclass(frozen=True)
class Issuer:
    """An authority that can sign: its certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def identifier(self) -> x509.AuthorityKeyIdentifier:
        """What a certificate or a list says of the key that signed it."""
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())


def new_key() -> ec.EllipticCurvePrivateKey:
    """Make a private key."""
    return ec.generate_private_key(ec.SECP256R1())


def sign_itself(name: str, key: ec.EllipticCurvePrivateKey, validity: Validity) -> x509.Certificate:
    """Make the certificate of an authority; none that it issues can be an authority's."""
    builder = _describe(name, key.public_key(), validity).issuer_name(_named(name))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(SIGN_CERTIFICATES), critical=True)
    return builder.sign(key, hashes.SHA256())


def certify(
    issuer: Issuer,
    name: str,
    key: PublicKey,
    validity: Validity,
    hosts: Sequence[str] = (),
    uses: Sequence[x509.ObjectIdentifier] = (CLIENT,),
    unit: str = "",
) -> x509.Certificate:
    """Issue a certificate to a name; a server's has the names and addresses that it is reached by.

    `unit` is its organizational unit, by which the broker knows those that must be registered before they count.
    """
    builder = _describe(name, key, validity, unit).issuer_name(issuer.certificate.subject)
    builder = builder.add_extension(issuer.identifier, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(SIGN_DATA), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(list(uses)), critical=False)
    if hosts:
        alternatives = x509.SubjectAlternativeName(list(map(_alternative_name, hosts)))
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(issuer.key, hashes.SHA256())


def list_revoked(issuer: Issuer, serials: Iterable[int], now: datetime) -> x509.CertificateRevocationList:
    """Make the list of the certificates that are revoked.

    It stays valid as long as the authority: OpenSSL lets nobody in by a list that has ended.
    """
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
    builder = builder.last_update(now - CLOCK_SKEW).next_update(issuer.certificate.not_valid_after_utc)
    builder = builder.add_extension(issuer.identifier, critical=False)
    builder = builder.add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(issuer.key, hashes.SHA256())


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """Return the names and addresses that a server's certificate is for, in its order."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(each.value) for each in found]


def is_authority(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate is one that may issue others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether an authority has signed a certificate."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 - InvalidSignature, ValueError, TypeError: all of them say that it has not
        return False
    return True


def pem_of(made: x509.Certificate | x509.CertificateRevocationList) -> bytes:
    """Return a certificate, or a list of revoked ones, as PEM."""
    return made.public_bytes(serialization.Encoding.PEM)


def pem_of_key(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None = None) -> bytes:
    """Return a private key as PEM; without a pass phrase a daemon can use it, which cannot type one."""
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def _describe(name: str, key: PublicKey, validity: Validity, unit: str = "") -> x509.CertificateBuilder:
    """Begin a certificate: whose it is, which key, and how long it is valid."""
    builder = x509.CertificateBuilder().subject_name(_named(name, unit)).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(validity.begins).not_valid_after(validity.ends)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _named(name: str, unit: str = "") -> x509.Name:
    units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] if unit else []
    return x509.Name([*units, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative_name(host: str) -> x509.GeneralName:
    """Turn a host's name or address into the form that a certificate has it in."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(uses: Sequence[str]) -> x509.KeyUsage:
    """Make the extension that Python 3.13 insists on."""
    return x509.KeyUsage(**{use: use in uses for use in ALL_USES.split()})

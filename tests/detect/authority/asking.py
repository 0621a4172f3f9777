"""What a thing does to be issued a certificate, in a test: a key, a request, and requests that mean harm."""

from __future__ import annotations

import ssl
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from defender_detect.authority.certificates import Issuer, new_key
from defender_detect.authority.directory import Directory
from defender_detect.authority.issuing import open_issuer
from tests.detect.authority.home import NO_PHRASE, NOW


def request(key: Any = None, name: str = "whoever", *extensions: x509.ExtensionType, hash_: Any = None) -> str:
    """Return a request (PEM) that a key has signed."""
    builder = x509.CertificateSigningRequestBuilder()
    builder = builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
    for each in extensions:
        builder = builder.add_extension(each, critical=True)
    signed = builder.sign(key or new_key(), hash_ or hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def with_a_broken_signature() -> str:
    """Return a request for a key that somebody else has: the last bytes of its signature are others."""
    der = x509.load_pem_x509_csr(request().encode()).public_bytes(serialization.Encoding.DER)
    pem = ssl.DER_cert_to_PEM_cert(der[:-1] + bytes([der[-1] ^ 1]))
    return pem.replace("CERTIFICATE", "CERTIFICATE REQUEST")


def issuer_in(directory: Directory) -> Issuer:
    """Open the authority of a test's directory."""
    return open_issuer(directory, NO_PHRASE, NOW)


def der(pem: str | bytes) -> bytes:
    """Return a certificate's other form."""
    raw = pem.encode() if isinstance(pem, str) else pem
    return x509.load_pem_x509_certificate(raw).public_bytes(serialization.Encoding.DER)


def is_of(pem: str, key: ec.EllipticCurvePrivateKey) -> bool:
    """Tell whether a certificate is for a key."""
    return x509.load_pem_x509_certificate(pem.encode()).public_key() == key.public_key()

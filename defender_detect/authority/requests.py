"""Requests: what a thing sends to be issued a certificate (a CSR), of which its public key alone counts.

Names, dates and extensions that a request asks for are not even looked at: who the certificate is for is known by the
connection, and what it may do is the same for every thing.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from defender_detect.authority.certificates import PublicKey
from defender_detect.errors import RequestRefused

LARGEST = 4096  # characters; AWS's, of CreateCertificateFromCsr
SMALLEST_RSA, LARGEST_RSA = 2048, 4096  # bits; AWS takes no shorter one, and a longer one costs us time
EXPONENT = 65537  # what every tool makes; a huge one would make a signature slow to verify
CODE = "InvalidCertificateSigningRequest"
KEYS = f"the key must be on the curve P-256, or an RSA key of {SMALLEST_RSA} to {LARGEST_RSA} bits"


def public_key_of(text: str) -> PublicKey:
    """Return the public key of a request (PEM) that its private key has signed; raise RequestRefused."""
    if len(text) > LARGEST:
        raise _refused(f"the request must have at most {LARGEST} characters, got {len(text)}")
    try:
        request = x509.load_pem_x509_csr(text.encode())
        key = request.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _refused(f"the request must be a CSR in PEM form; {KEYS}") from error
    known = _known(key)
    try:
        is_signed = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _refused("the request must be signed with SHA-256") from error
    if not is_signed:
        raise _refused("the request is not signed by the key that is in it")
    return known


def _known(key: object) -> PublicKey:
    """Return a key of a kind that is issued certificates, before anything is computed with it."""
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    if isinstance(key, rsa.RSAPublicKey) and SMALLEST_RSA <= key.key_size <= LARGEST_RSA:
        if key.public_numbers().e == EXPONENT:
            return key
        raise _refused(f"the exponent of an RSA key must be {EXPONENT}")
    raise _refused(f"{KEYS}")


def _refused(message: str) -> RequestRefused:
    return RequestRefused(400, CODE, message)

"""A request gives its public key and nothing else, and only if its private key has signed it."""

from __future__ import annotations

import pytest

pytest.importorskip("cryptography")

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from defender_detect.authority.certificates import new_key
from defender_detect.authority.requests import CODE, LARGEST, public_key_of
from defender_detect.errors import RequestRefused
from tests.detect.authority.asking import request, with_a_broken_signature


def refusal(text: str) -> str:
    with pytest.raises(RequestRefused) as caught:
        public_key_of(text)
    assert (400, CODE) == (caught.value.status, caught.value.code)
    return str(caught.value)


def test_the_key_of_a_request_that_it_has_signed_is_taken() -> None:
    key, long = new_key(), rsa.generate_private_key(65537, 2048)
    assert key.public_key() == public_key_of(request(key))
    assert long.public_key() == public_key_of(request(long))


@pytest.mark.parametrize("key", [ec.SECP384R1(), ec.SECP256K1(), ec.SECP521R1()], ids=lambda each: each.name)
def test_another_curve_is_refused(key: ec.EllipticCurve) -> None:
    assert "must be on the curve P-256" in refusal(request(ec.generate_private_key(key)))


def test_a_weak_an_odd_and_another_kind_of_key_are_refused() -> None:
    assert "RSA key of 2048 to 4096 bits" in refusal(request(rsa.generate_private_key(65537, 1024)))
    assert "exponent of an RSA key must be 65537" in refusal(request(rsa.generate_private_key(3, 2048)))
    assert "must be on the curve P-256" in refusal(request(dsa.generate_private_key(1024)))
    key, real = ed25519.Ed25519PrivateKey.generate(), x509.CertificateSigningRequestBuilder
    builder = real().subject_name(x509.Name([]))
    from cryptography.hazmat.primitives import serialization

    pem = builder.sign(key, None).public_bytes(serialization.Encoding.PEM).decode()
    assert "must be on the curve P-256" in refusal(pem)


@pytest.mark.parametrize(
    "text",
    ["", "x", "-----BEGIN CERTIFICATE REQUEST-----\n" * 9, "\0" * 99, "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n"
     "-----END CERTIFICATE REQUEST-----\n", "\u202e", "-----BEGIN CERTIFICATE REQUEST-----\n" + "A" * 3000],
)  # fmt: skip
def test_what_is_no_request_is_refused(text: str) -> None:
    assert "must be a CSR in PEM form" in refusal(text)


def test_a_request_that_is_too_long_is_not_read() -> None:
    assert f"must have at most {LARGEST} characters, got {LARGEST + 1}" in refusal("A" * (LARGEST + 1))


def test_a_key_that_somebody_else_has_is_refused() -> None:
    assert "is not signed by the key that is in it" in refusal(with_a_broken_signature())

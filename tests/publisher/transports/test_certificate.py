"""What a device needs that shows a certificate, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from defender_daemon.config import Authentication
from defender_publisher.transports.certificate import METHOD
from demo.authority import Authority

AT_AWS = "a1-ats.iot.eu-west-1.amazonaws.com"
KEYS = {
    "RSA": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "EC": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"port": 443}, []),
        ({"port": 8884}, ["agent.authentication.port must be 8883 or 443 for AWS IoT, got 8884"]),
        ({"port": 8884, "endpoint": "broker.example.com"}, []),
        (
            {"private_key": None},
            ["agent.authentication.private_key is missing; it is needed with the method certificate"],
        ),
    ],
)
def test_what_is_missing_and_a_port_that_aws_does_not_have_are_said(
    changes: dict[str, object], expected: list[str]
) -> None:
    given = {"endpoint": AT_AWS, "certificate": "c.pem", "private_key": "c.key", **changes}
    assert expected == list(METHOD.broken_rules(Authentication(**given)))


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_of_whatever_kind_that_is_not_the_certificates_does_not_belong_to_it(
    kind: str, authority: Authority, tmp_path: Path
) -> None:
    """OpenSSL calls it KEY_VALUES_MISMATCH for a key of the same kind, and NO_CERTIFICATE_ASSIGNED for another."""
    certificate, key = authority.issue("rpi-1").certificate, tmp_path / "other.key"
    form = serialization.PrivateFormat.PKCS8
    key.write_bytes(KEYS[kind]().private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    authentication = Authentication(certificate=str(certificate), private_key=str(key))
    (problem,) = METHOD.content_problems(authentication)
    assert f"{key} does not belong to {certificate}" in problem.says
    assert "install a key and a certificate that were issued together" == problem.advice


def test_a_certificate_and_its_key_belong_together(authority: Authority) -> None:
    files = authority.issue("rpi-1")
    authentication = Authentication(certificate=str(files.certificate), private_key=str(files.private_key))
    assert [] == list(METHOD.content_problems(authentication))

"""The key is one that AWS IoT takes, and the request is its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from defender_publisher.provisioning.errors import ProvisioningError
from defender_publisher.provisioning.key import make_key, make_request


@pytest.mark.parametrize("name", ["rpi-0001", "x" * 128])
def test_a_request_is_signed_by_a_key_on_p256_and_has_the_things_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "private.key"
    path.write_bytes(make_key())
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    request = x509.load_pem_x509_csr(make_request(path, name).encode())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert ("secp256r1", key.public_key()) == (key.curve.name, request.public_key())
    assert request.is_signature_valid
    assert f"CN={name[:64]}" == request.subject.rfc4514_string()


def test_whatever_openssl_says_is_said(tmp_path: Path) -> None:
    (tmp_path / "private.key").write_text("no key")
    with pytest.raises(ProvisioningError, match="device: openssl req failed: .*; try it by hand: openssl req -new"):
        make_request(tmp_path / "private.key", "rpi-0001")

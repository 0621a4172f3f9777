"""Files of mutual TLS that cannot be used are named."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
from defender_detect.errors import CredentialsError
from defender_detect.receive.credentials import Credentials
from demo.authority import Authority
from tests.detect.receive.test_receiver import HOST, credentials_of


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def credentials(authority: Authority) -> Credentials:
    return credentials_of(authority, authority.issue("detect", ["localhost", HOST]))


FILES = [
    ("root_ca", None, "the root CA file .* cannot be read: No such file"),
    ("certificate", None, "the certificate .* cannot be read: No such file"),
    ("private_key", None, "the private key .* cannot be read: No such file"),
    ("root_ca", "nothing", "the root CA file .* must hold PEM certificates"),
    ("certificate", "nothing", "the certificate .* must be PEM files that belong together"),
    ("private_key", "nothing", "the private key .* must be PEM files that belong together"),
]


@pytest.mark.parametrize(("which", "content", "message"), FILES)
def test_a_file_that_cannot_be_used_is_named(which, content, message, credentials, tmp_path):
    path = tmp_path / "wrong.pem"
    if content is not None:
        path.write_text(content)
    wrong = Credentials(**{**vars(credentials), which: path})
    for make in (wrong.client_context, wrong.server_context):
        with pytest.raises(CredentialsError, match=message):
            make()


def test_an_encrypted_key_is_refused_without_asking_for_its_pass_phrase(credentials, tmp_path):
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(credentials.private_key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(CredentialsError, match="must not be encrypted"):
        Credentials(credentials.root_ca, credentials.certificate, encrypted).client_context()

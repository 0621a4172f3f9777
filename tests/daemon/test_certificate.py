"""Files of a certificate and its key that cannot be used are named, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from defender_daemon.certificate import certificate_id
from defender_daemon.config import Authentication
from defender_publisher.credentials import credential_problems
from demo.authority import Authority
from tests.publisher.test_credentials import problem_with


@pytest.fixture
def good(authority: Authority) -> dict[str, str]:
    files = authority.issue("credentials")
    return {
        "certificate": str(files.certificate),
        "private_key": str(files.private_key),
        "root_ca": str(authority.certificate),
    }


def test_a_key_that_others_can_read_is_refused_with_the_chmod_line(good: dict[str, str], tmp_path: Path) -> None:
    key = tmp_path / "my key.pem"
    key.write_bytes(Path(good["private_key"]).read_bytes())
    for mode in (0o644, 0o640, 0o604):
        key.chmod(mode)
        assert problem_with(**{**good, "private_key": str(key)}).endswith(f"mode {mode:04o}; run: chmod 600 '{key}'")
    key.chmod(0o400)
    assert [] == credential_problems(Authentication(endpoint="e", **{**good, "private_key": str(key)}))


def test_a_key_that_systemd_handed_over_may_show_the_mask_of_its_acl(
    good: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "private.key"
    key.write_bytes(Path(good["private_key"]).read_bytes())
    key.chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert [] == credential_problems(Authentication(endpoint="e", **{**good, "private_key": str(key)}))


def test_an_encrypted_key_is_refused_without_asking_for_a_pass_phrase(good: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "encrypted.key"
    path.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    path.chmod(0o600)
    assert "must not be encrypted" in problem_with(**{**good, "private_key": str(path)})


def test_a_certificates_id_is_its_sha_256_fingerprint(authority: Authority) -> None:
    path = authority.issue("fingerprint").certificate
    expected = x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256()).hex()
    assert expected == certificate_id(str(path))

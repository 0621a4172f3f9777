"""Servers are trusted as the system does, with as little of its list in memory as can be."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from defender_cloudwatch.connection import Way, request, trusting
from demo.authority import Authority
from tests.cloudwatch.doubles import Double


@pytest.fixture
def one_by_one(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the system keep each authority in a file of its own, as Debian does, and trust this one."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    shutil.copy(authority.certificate, tmp_path / "ours.pem")
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True)
    places = ssl.get_default_verify_paths()._replace(capath=str(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: places)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    return tmp_path


def server_of(authority: Authority) -> ssl.SSLContext:
    files = authority.issue("server", ["localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.private_key)
    return context


def test_an_authority_is_read_when_a_server_needs_it(one_by_one: Path, authority: Authority) -> None:
    context = trusting(Way())
    assert [] == context.get_ca_certs()
    assert (ssl.CERT_REQUIRED, True) == (context.verify_mode, context.check_hostname)
    with Double(lambda request, client: (200, {}), server_of(authority)) as server:
        assert 200 == request("GET", f"https://localhost:{server.port}/", {}).status


def test_a_server_of_another_authority_is_not_trusted(one_by_one: Path, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with Double(lambda request, client: (200, {}), server_of(other)) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            request("GET", f"https://localhost:{server.port}/", {})
        assert 200 == request("GET", f"https://localhost:{server.port}/", {}, way=Way(str(other.certificate))).status


def test_a_file_that_the_environment_names_is_read_instead(
    one_by_one: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    assert 1 == len(trusting(Way()).get_ca_certs())

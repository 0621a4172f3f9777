"""A connection to AWS: whom it trusts, with as little of the system's list in memory as can be, and as whom it is."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from defender_cloudwatch.connection import Identity, Way, request, trusting
from defender_cloudwatch.errors import CredentialsError
from demo.authority import Authority
from tests.cloudwatch.doubles import Double, answer_as_provider, provider_context
from tests.cloudwatch.test_credentials import ask


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


@pytest.fixture
def provider(authority: Authority) -> Iterator[Double]:
    with Double(answer_as_provider, provider_context(authority)) as provider:
        yield provider


def test_a_certificate_of_another_authority_is_refused(provider: Double, authority: Authority, tmp_path: Path) -> None:
    files = Authority(tmp_path / "other").issue("rpi-0001")
    with pytest.raises(CredentialsError, match="the device's certificate is refused"):
        ask(provider, authority, identity=Identity(str(files.certificate), str(files.private_key)))
    assert [] == provider.requests


def test_an_expired_certificate_is_refused(provider: Double, authority: Authority) -> None:
    files = authority.issue_expired("rpi-0003")
    with pytest.raises(CredentialsError, match="the device's certificate is refused"):
        ask(provider, authority, identity=Identity(str(files.certificate), str(files.private_key)))


def test_a_server_that_nobody_vouches_for_is_not_asked(provider: Double, authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with pytest.raises(CredentialsError, match="was not accepted .*this device's clock"):
        ask(provider, authority, root_ca=other.certificate)
    assert [] == provider.requests


def test_a_certificate_that_is_not_there_is_no_fault_of_the_network(provider: Double, authority: Authority) -> None:
    with pytest.raises(CredentialsError, match=r"/nowhere/a\.pem cannot be read: No such file or directory"):
        ask(provider, authority, identity=Identity("/nowhere/a.pem", "/nowhere/a.key"))

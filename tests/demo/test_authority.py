"""The throw-away authority issues what TLS accepts, even with OpenSSL's strict checks, and keeps its keys to itself."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import threading
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from demo.authority import Authority, Files

HOST = "127.0.0.1"


def context(purpose: ssl.Purpose, authority: Authority, files: Files) -> ssl.SSLContext:
    made = ssl.create_default_context(purpose, cafile=str(authority.certificate))
    made.load_cert_chain(files.certificate, files.private_key)
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT  # what Python 3.13 does by default
    return made


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str = HOST) -> str:
    """Connect over TLS, and return the common name that the server saw."""
    seen: list[str] = []

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as connection:
                seen.append(dict(pair for (pair,) in connection.getpeercert()["subject"])["commonName"])
                connection.sendall(b"!")
        except ssl.SSLError:
            theirs.close()

    ours, theirs = socket.socketpair()
    ours.settimeout(60)
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=host) as connection:
            assert connection.recv(1) == b"!"
    finally:
        ours.close()
        thread.join(60)
    return seen[0]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_server_and_a_thing_trust_each_other_and_the_thing_has_its_name(authority, host):
    server = context(ssl.Purpose.CLIENT_AUTH, authority, authority.issue("broker", ["localhost", "127.0.0.1"]))
    client = context(ssl.Purpose.SERVER_AUTH, authority, authority.issue("gateway:1"))
    assert shake_hands(server, client, host) == "gateway:1"


def test_a_server_can_be_a_client_too_because_detect_is_both(authority):
    files = authority.issue("detect", [HOST])
    server, client = (
        context(purpose, authority, files) for purpose in (ssl.Purpose.CLIENT_AUTH, ssl.Purpose.SERVER_AUTH)
    )
    assert shake_hands(server, client) == "detect"


def test_a_server_under_another_name_is_refused(authority):
    server = context(ssl.Purpose.CLIENT_AUTH, authority, authority.issue("broker", ["example.com"]))
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(server, context(ssl.Purpose.SERVER_AUTH, authority, authority.issue("thing")))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda authority: authority.issue_expired("broker", [HOST]), "certificate has expired"),
        (lambda authority: authority.issue_not_yet_valid("broker", [HOST]), "certificate is not yet valid"),
        (lambda authority: authority.issue("broker"), "unsuitable certificate purpose|unsupported certificate purpose"),
    ],
    ids=["expired", "not yet valid", "no server"],
)
def test_a_wrong_certificate_is_refused(authority, make, reason):
    server = context(ssl.Purpose.CLIENT_AUTH, authority, make(authority))
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        shake_hands(server, context(ssl.Purpose.SERVER_AUTH, authority, authority.issue("thing")))


def test_two_authorities_do_not_trust_each_other(authority, tmp_path):
    other = Authority(tmp_path / "other")
    server = context(ssl.Purpose.CLIENT_AUTH, authority, other.issue("broker", [HOST]))
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, context(ssl.Purpose.SERVER_AUTH, authority, authority.issue("thing")))


def test_only_the_owner_can_read_a_key_whatever_the_umask_is(tmp_path):
    before = os.umask(0)
    try:
        authority = Authority(tmp_path / "new" / "ca")
        files = authority.issue("thing")
        files = authority.issue("thing")  # issued again, as when a certificate has expired
    finally:
        os.umask(before)
    assert stat.S_IMODE(files.private_key.stat().st_mode) == 0o600
    assert stat.S_IMODE(authority.certificate.parent.stat().st_mode) == 0o700


def test_the_authority_keeps_its_own_key_in_memory(authority):
    authority.issue("thing")
    assert sorted(path.name for path in authority.certificate.parent.iterdir()) == ["ca.pem", "thing.key", "thing.pem"]

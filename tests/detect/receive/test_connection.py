"""The receiver's connection hands out every byte in order, however they arrive, and tells the end and the errors."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")

from defender_detect.receive.connection import RECORD, BufferedSocket, Client
from demo.authority import Authority

Pair = tuple[BufferedSocket, ssl.SSLSocket]


@pytest.fixture
def pair(authority: Authority) -> Iterator[Pair]:
    """A buffered socket with its peer, connected over TLS."""
    files = authority.issue("connection", ["localhost"])
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(files.certificate, files.private_key)
    client = ssl.create_default_context(cafile=str(authority.certificate))
    client.sslsocket_class = BufferedSocket
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.settimeout(PATIENCE)
    accepted: list[ssl.SSLSocket] = []
    thread = threading.Thread(target=lambda: accepted.append(server.wrap_socket(theirs, server_side=True)))
    thread.start()
    connection = client.wrap_socket(ours, server_hostname="localhost")
    thread.join()
    assert isinstance(connection, BufferedSocket)
    yield connection, accepted[0]
    connection.close()
    accepted[0].close()


def test_bytes_come_in_order_whatever_sizes_are_asked_for(pair: Pair) -> None:
    connection, peer = pair
    sent = bytes(range(256)) * 40
    for start in range(0, len(sent), 512):
        peer.sendall(sent[start : start + 512])
    connection.setblocking(False)
    assert connection.recv(1) == sent[:1]
    assert len(sent) - 1 == connection.pending()
    got = sent[:1]
    for size in (1, 2, 700, 3000, RECORD):
        got += connection.recv(size)
    assert sent == got
    assert connection.pending() == 0
    with pytest.raises(ssl.SSLWantReadError):
        connection.recv(1)


def test_a_socket_with_a_timeout_waits_for_nothing_more_than_it_was_asked_for(pair: Pair) -> None:
    connection, peer = pair
    connection.settimeout(PATIENCE)
    peer.sendall(b"abc")
    assert connection.recv(2) == b"ab"
    assert connection.recv(2) == b"c"


def test_what_came_before_the_end_is_handed_out_before_the_end(pair: Pair) -> None:
    connection, peer = pair
    peer.sendall(b"last words")
    peer.close()
    connection.setblocking(False)
    assert connection.recv(4) == b"last"
    assert connection.recv(100) == b" words"
    assert connection.recv(100) == b""
    assert connection.recv(100) == b""


def test_an_end_that_openssl_finds_while_it_writes_is_one(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: ssl.SSLSocket, *arguments: int) -> bytes:
        raise BrokenPipeError(32, "Broken pipe")  # as OpenSSL 3.5 does

    monkeypatch.setattr(ssl.SSLSocket, "recv", refuse)
    assert b"" == pair[0].recv(100)


def test_a_client_without_a_connection_has_nothing_to_read(tmp_path: Path) -> None:
    import paho.mqtt.client as mqtt

    assert mqtt.MQTT_ERR_NO_CONN == Client(mqtt.CallbackAPIVersion.VERSION2).loop_read()

"""The connection hands messages and other packets out, whole and in order, and sends whatever it is given."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from defender_detect.receive.connection import (
    MOST_MESSAGES,
    MOST_UNSENT,
    BufferedSocket,
    Client,
)
from defender_detect.receive.messages import Message, encode_message
from demo.authority import Authority

Pair = tuple[BufferedSocket, ssl.SSLSocket]
PING = b"\xd0\x00"
ACKNOWLEDGED = b"\x90\x03\x00\x01\x00"
LONG = Message("a" * 200, b"x" * 20_000, False)


def packet_of(message: Message) -> bytes:
    return encode_message(message.topic, message.payload)


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
    connection.setblocking(False)
    yield connection, accepted[0]
    connection.close()
    accepted[0].close()


class Connected(Client):
    """A client that is connected by a socket of ours, and remembers what it was asked to answer."""

    def __init__(self, connection: BufferedSocket) -> None:
        super().__init__(CallbackAPIVersion.VERSION2)
        self._sock = connection
        self.asked: list[int] = []
        self.got: list[Message] = []
        self.on_messages = self._reply

    def _reply(self, messages: Sequence[Message]) -> bytes:
        self.asked.append(len(messages))
        self.got += messages
        return b"".join(encode_message(each.topic + "/accepted", b"{}") for each in messages)


def test_messages_are_answered_in_order_and_many_at_once(pair: Pair) -> None:
    connection, peer = pair
    sent = [Message(f"things/{number}", b"report", False) for number in range(3 * MOST_MESSAGES + 5)]
    peer.sendall(b"".join(map(packet_of, sent)))
    client = Connected(connection)
    while len(client.got) < len(sent):
        client.loop_read()
    assert sent == client.got
    assert max(client.asked) == MOST_MESSAGES
    replies = b"".join(encode_message(each.topic + "/accepted", b"{}") for each in sent)
    got = b""
    while len(got) < len(replies):
        got += peer.recv(1 << 16)
    assert replies == got


def test_what_waits_to_be_answered_is_bounded_and_nothing_of_it_is_lost(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, peer = pair
    monkeypatch.setattr("defender_detect.receive.connection.MOST_WAITING", 100)
    sent = [Message(f"things/{number}", bytes(60), False) for number in range(6)]
    taken: list[Message] = []
    for each in sent[:2]:
        peer.sendall(packet_of(each))
        while connection.pending() < 60 * (sent.index(each) + 1):
            connection.fill()
    peer.sendall(b"".join(map(packet_of, sent[2:])))
    connection.fill()
    assert 120 == connection.pending()
    while len(taken) < len(sent):
        taken += connection.take_messages()
        connection.fill()
    assert sent == taken


def test_what_came_before_the_end_is_answered_before_the_end(pair: Pair) -> None:
    connection, peer = pair
    sent = [Message(f"things/{number}", b"report", False) for number in range(2 * MOST_MESSAGES)]
    peer.sendall(b"".join(map(packet_of, sent)))
    peer.close()
    client = Connected(connection)
    results = [client.loop_read()]
    while results[-1] == mqtt.MQTT_ERR_SUCCESS:
        results.append(client.loop_read())
    assert mqtt.MQTT_ERR_CONN_LOST == results[-1]
    assert sent == client.got


def test_a_large_message_in_small_pieces_is_whole(pair: Pair) -> None:
    connection, peer = pair
    client, data = Connected(connection), packet_of(LONG)
    for start in range(0, len(data), 500):
        peer.sendall(data[start : start + 500])
        client.loop_read()
    while not client.got:
        client.loop_read()
    assert [LONG] == client.got


def test_what_cannot_be_sent_at_once_is_sent_later_whole_and_in_order(pair: Pair) -> None:
    connection, peer = pair
    parts = [bytes((number,)) * 50_000 for number in range(40)]
    client = Connected(connection)
    for part in parts:
        assert len(part) == connection.send(part)
    assert connection.unsent > 0
    assert client.want_write()
    got = b""
    while len(got) < sum(map(len, parts)):
        got += peer.recv(1 << 16)
        client.loop_write()
    assert b"".join(parts) == got
    assert not client.want_write()


def test_a_broker_that_takes_no_replies_is_not_read(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, peer = pair
    monkeypatch.setattr("defender_detect.receive.connection.PATIENCE", 0.01)
    client = Connected(connection)
    while connection.unsent <= MOST_UNSENT:
        connection.send(bytes(100_000))
    peer.sendall(packet_of(LONG))
    client.loop_read()
    assert client.got == []


def test_other_packets_are_handed_out_in_whatever_sizes_are_asked_for(pair: Pair) -> None:
    connection, peer = pair
    peer.sendall(ACKNOWLEDGED)
    got = b""
    while len(got) < len(ACKNOWLEDGED):
        try:
            got += connection.recv(2)
        except ssl.SSLWantReadError:
            continue
    assert ACKNOWLEDGED == got
    assert connection.pending() == 0
    with pytest.raises(ssl.SSLWantReadError):
        connection.recv(1)


def test_an_end_that_openssl_finds_while_it_writes_is_one(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: ssl.SSLSocket, *arguments: int) -> bytes:
        raise BrokenPipeError(32, "Broken pipe")  # as OpenSSL 3.5 does

    monkeypatch.setattr(ssl.SSLSocket, "recv", refuse)
    assert b"" == pair[0].recv(100)


def test_another_error_is_told_to_whoever_reads(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: ssl.SSLSocket, *arguments: int) -> bytes:
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(ssl.SSLSocket, "recv", refuse)
    with pytest.raises(ConnectionResetError):
        pair[0].recv(100)


def test_a_client_without_a_connection_has_nothing_to_read(tmp_path: Path) -> None:
    assert mqtt.MQTT_ERR_NO_CONN == Client(CallbackAPIVersion.VERSION2).loop_read()

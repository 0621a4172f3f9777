"""MQTT over WebSocket, signed with AWS credentials, to a broker on loopback that stands in for AWS IoT."""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from defender_publisher.errors import TransportError
from defender_publisher.mqtt import MqttTransport
from defender_publisher.session import Link, Session
from defender_publisher.tcp import open_socket
from demo.authority import Authority
from tests.fakes.scripted_broker import ScriptedBroker

HOST = "a1b2c3-ats.iot.eu-west-1.amazonaws.com"
TOPIC = "$aws/things/rpi-1/defender/metrics/json"
REPORT = b'{"header": {"report_id": 7, "version": "1.0"}, "custom_metrics": {"x": [{"number": 1}]}}'


class WebSocket:
    """The server's side of a WebSocket, as far as a socket of MQTT packets needs it (RFC 6455)."""

    def __init__(self, connection: ssl.SSLSocket, paths: list[str]) -> None:
        self._connection, self._bytes = connection, b""
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += connection.recv(4096)
        paths.append(request.split(b" ")[1].decode())
        key = re.search(rb"sec-websocket-key: (\S+)", request, re.IGNORECASE)
        assert key is not None
        digest = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-accept: " + base64.b64encode(digest) + b"\r\nsec-websocket-protocol: mqtt\r\n\r\n"
        )

    def recv(self, count: int) -> bytes:
        while len(self._bytes) < count:
            self._bytes += self._frame()
        data, self._bytes = self._bytes[:count], self._bytes[count:]
        return data

    def sendall(self, data: bytes) -> None:
        length = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack("!H", len(data))
        self._connection.sendall(b"\x82" + length + data)

    def shutdown(self, how: int) -> None:
        self._connection.shutdown(how)

    def close(self) -> None:
        self._connection.close()

    def _frame(self) -> bytes:
        _, length = self._exactly(2)
        length &= 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._exactly(2))
        mask = self._exactly(4)
        return bytes(byte ^ mask[index % 4] for index, byte in enumerate(self._exactly(length)))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._connection.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data


@pytest.fixture
def paths() -> list[str]:
    """The addresses that clients asked for."""
    return []


@pytest.fixture
def connect(authority: Authority, paths: list[str]) -> Iterator[Callable[[], MqttTransport]]:
    files = authority.issue("websocket", [HOST])
    broker = ScriptedBroker(
        files.certificate, files.private_key, None, wrap=lambda connection: WebSocket(connection, paths)
    )
    link = Link(HOST, 443, "rpi-1", TOPIC, str(authority.certificate), websocket=True)
    transport = MqttTransport(link, lambda: Session(link, lambda: open_socket("127.0.0.1", broker.port)))

    def connect() -> MqttTransport:
        transport.connect()
        return transport

    yield connect
    transport.close()
    broker.close()


def test_a_report_is_accepted_over_a_connection_signed_for_the_endpoints_region(
    connect: Callable[[], MqttTransport], paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    assert connect().publish(7, REPORT).answered
    (path,) = paths
    query = parse_qs(urlsplit(path).query)
    assert "/mqtt" == urlsplit(path).path
    assert query["X-Amz-Credential"][0].endswith("/eu-west-1/iotdata/aws4_request")
    assert 64 == len(query["X-Amz-Signature"][0])
    assert "secret" not in path


def test_missing_aws_credentials_are_named(
    connect: Callable[[], MqttTransport], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(TransportError, match="no AWS credentials were found"):
        connect()

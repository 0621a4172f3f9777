"""A client that says whatever a test wants it to, byte by byte, and need not keep to MQTT."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import suppress

from defender_detect.receive.credentials import Credentials
from defender_detect.receive.endpoint import Endpoint

PATIENCE = 60.0  # seconds
HOST = "127.0.0.1"
CONNACK = (0x20, b"\0\0")
PING, PINGRESP = b"\xc0\0", (0xD0, b"")
DISCONNECT = b"\xe0\0"

Packet = tuple[int, bytes]


def text(value: str | bytes) -> bytes:
    """Encode a text as MQTT does."""
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("!H", len(raw)) + raw


def packet(first: int, body: bytes, length: int | None = None) -> bytes:
    """Encode a packet, which need not be as long as it says."""
    left, encoded = len(body) if length is None else length, bytearray([first])
    while True:
        byte, left = left % 128, left // 128
        encoded.append(byte | (0x80 if left else 0))
        if not left:
            return bytes(encoded) + body


def connect(
    client_id: str | bytes,
    will: tuple[str, bytes] | None = None,
    keep_alive: int = 60,
    clean: bool = True,
    level: int = 4,
) -> bytes:
    """Encode CONNECT."""
    flags, tail = (2 if clean else 0) | (4 if will else 0), text(will[0]) + text(will[1]) if will else b""
    body = text("MQTT") + bytes([level, flags]) + struct.pack("!H", keep_alive)
    return packet(0x10, body + (b"\0" if level == 5 else b"") + text(client_id) + tail)


def publish(topic: str | bytes, payload: bytes = b"", qos: int = 0, packet_id: int = 1) -> bytes:
    """Encode PUBLISH."""
    return packet(0x30 | qos << 1, text(topic) + (struct.pack("!H", packet_id) if qos else b"") + payload)


def subscribe(*filters: str, packet_id: int = 7, qos: int = 0) -> bytes:
    """Encode SUBSCRIBE."""
    return packet(0x82, struct.pack("!H", packet_id) + b"".join(text(each) + bytes([qos]) for each in filters))


class RawClient:
    """A connection over TLS, on which nothing is said but what the test says."""

    def __init__(self, endpoint: Endpoint, credentials: Credentials, receive_buffer: int | None = None) -> None:
        plain = socket.socket()
        if receive_buffer is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.settimeout(PATIENCE)
        plain.connect((endpoint.host, endpoint.port))
        self.socket = credentials.client_context().wrap_socket(plain, server_hostname=HOST)
        self._unread = b""

    def send(self, data: bytes) -> RawClient:
        """Send bytes, whether or not the other side still listens."""
        with suppress(OSError):  # which ssl's errors are, too
            self.socket.sendall(data)
        return self

    def connect(self, client_id: str, **options: object) -> RawClient:
        """Introduce the client, and wait until it is welcome."""
        assert CONNACK == self.send(connect(client_id, **options)).read()  # type: ignore[arg-type]
        return self

    def read(self) -> Packet | None:
        """Return the next packet as its first byte and its body; None at the connection's end."""
        while True:
            found = take(self._unread)
            if found is not None:
                first, body, self._unread = found
                return first, body
            try:
                data = self.socket.recv(65_536)
            except (ConnectionError, ssl.SSLError):
                return None
            if not data:
                return None
            self._unread += data

    def packets(self) -> Iterator[Packet]:
        """Yield what comes until the connection ends."""
        while (found := self.read()) is not None:
            yield found

    def heard(self) -> list[tuple[str, bytes]]:
        """Return the messages that came so far, as the other side has sent them before it answers a ping."""
        messages = []
        self.send(PING)
        for first, body in self.packets():
            if (first, body) == PINGRESP:
                break
            if first >> 4 == 3:
                messages.append(message_of(body))
        return messages

    def is_closed(self) -> bool:
        """Wait for the other side to close the connection; a packet that it sends instead is an answer, too."""
        return list(self.packets()) == []

    def vanish(self) -> None:
        """Leave without a word."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def take(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Return the first packet of some bytes, and the rest; None if it is not complete."""
    length = 0
    for index, byte in enumerate(data[1:5]):
        length |= (byte & 127) << 7 * index
        if not byte & 128:
            start = index + 2
            return (
                (data[0], data[start : start + length], data[start + length :]) if len(data) >= start + length else None
            )
    return None


def message_of(body: bytes) -> tuple[str, bytes]:
    """Return topic and payload of a message at QoS 0."""
    size = struct.unpack("!H", body[:2])[0]
    return body[2 : 2 + size].decode(), body[2 + size :]

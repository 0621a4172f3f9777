"""A broker that misbehaves as its script says: a test double for faults, never part of the product.

It speaks just enough MQTT 3.1.1 over TLS: CONNECT, SUBSCRIBE, PUBLISH at QoS 0 and 1, PINGREQ, DISCONNECT.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14


def accept(topic: str, payload: bytes) -> list[tuple[str, bytes]]:
    """Answer a report as Device Defender does when it accepts it."""
    report = json.loads(payload)
    report_id = report["header"]["report_id"] if "header" in report else report["hed"]["rid"]
    return [(topic + "/accepted", json.dumps({"reportId": report_id, "status": "ACCEPTED"}).encode())]


def reject(code: str, message: str = "Malformed metrics report") -> Callable[[str, bytes], list[tuple[str, bytes]]]:
    """Answer every report with a rejection that does not name it, as Device Defender may."""
    details = {"status": "REJECTED", "statusDetails": {"ErrorCode": code, "ErrorMessage": message}}
    return lambda topic, payload: [(topic + "/rejected", json.dumps(details).encode())]


def silent(topic: str, payload: bytes) -> list[tuple[str, bytes]]:
    """Answer no report."""
    return []


@dataclass
class Script:
    """What the broker does; the defaults are those of a broker that works."""

    tls: bool = True  # False: take the TCP connection and say nothing
    connack: int | None = 0  # a CONNACK code, or None for no answer
    suback: int = 0
    answer: Callable[[str, bytes], list[tuple[str, bytes]]] = accept
    close_on_publish: bool = False
    close_after_connect: bool = False
    delay: float = 0.0  # seconds until a report is answered
    frozen: bool = False  # True: read what comes, and say nothing
    suback_for: Callable[[str], int | None] | None = None  # instead of `suback`: the code for a topic, None: no answer
    raw_answer: bytes = b""  # what a report is answered with instead, whatever it means
    one_per_client_id: bool = False  # True: a client ID that connects again ends its earlier connection, as AWS does


@dataclass
class Seen:
    """What clients did."""

    connects: list[dict[str, object]] = field(default_factory=list)
    subscriptions: list[str] = field(default_factory=list)
    publishes: list[tuple[str, bytes, int]] = field(default_factory=list)
    disconnects: int = 0
    pings: int = 0
    server_names: list[str | None] = field(default_factory=list)  # SNI, of each TLS handshake
    protocols: list[str | None] = field(default_factory=list)  # ALPN


class ScriptedBroker:
    """Listens until it is closed, by default on a free port of the loopback interface; change `script` at any time."""

    def __init__(
        self,
        certificate: Path,
        private_key: Path,
        root_ca: Path | None,
        wrap: Callable[[ssl.SSLSocket], Any] = lambda connection: connection,
        listener: socket.socket | None = None,
    ) -> None:
        """Serve with this certificate; clients need one of `root_ca`, unless it is None."""
        self.script = Script()
        self.seen = Seen()
        self._wrap = wrap
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, private_key)
        if root_ca is not None:
            self._context.load_verify_locations(root_ca)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.set_alpn_protocols(["x-amzn-mqtt-ca"])
        self._context.sni_callback = lambda connection, name, context: self.seen.server_names.append(name)
        self._connections: list[socket.socket] = []
        self._by_client_id: dict[str, Any] = {}
        self._unasked: list[tuple[str, bytes]] = []
        self._bell, self._ring = socket.socketpair()
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, name="_serve", daemon=True).start()

    def close(self) -> None:
        """Close every connection and stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # which wakes the thread that waits for connections
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        """Close every connection, as a broker that is restarted does."""
        while self._connections:
            connection = self._connections.pop()
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def say(self, topic: str, payload: bytes) -> None:
        """Send a message that nobody has just asked for to a client that is connected."""
        self._unasked.append((topic, payload))
        self._ring.send(b"x")

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._talk, name="_talk", args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        if not self.script.tls:
            return
        with contextlib.suppress(OSError, EOFError, ValueError):  # ValueError: closed by `drop`
            secure = self._context.wrap_socket(connection, server_side=True)
            self._connections.append(secure)
            self.seen.protocols.append(secure.selected_alpn_protocol())
            secure = self._wrap(secure)
            while True:
                self._say_unasked(secure)
                kind, flags, body = _read_packet(secure)
                if self.script.frozen:
                    continue
                if not self._handle(secure, kind, flags, body):
                    secure.shutdown(socket.SHUT_RDWR)
                    secure.close()
                    return

    def _say_unasked(self, connection: Any) -> None:
        """Wait until the client has sent something, and say meanwhile what there is to say."""
        while isinstance(connection, ssl.SSLSocket) and not connection.pending():
            ready, _, _ = select.select([connection, self._bell], [], [])
            if self._bell not in ready:
                return
            self._bell.recv(1)
            _send_message(connection, *self._unasked.pop(0))

    def _handle(self, connection: socket.socket, kind: int, flags: int, body: bytes) -> bool:
        if kind == CONNECT:
            return self._connect(connection, body)
        if kind == SUBSCRIBE:
            (length,) = struct.unpack_from("!H", body, 2)
            topic = body[4 : 4 + length].decode()
            self.seen.subscriptions.append(topic)
            code = self.script.suback_for(topic) if self.script.suback_for else self.script.suback
            if code is not None:
                connection.sendall(bytes([SUBACK << 4, 3]) + body[:2] + bytes([code]))
        elif kind == PUBLISH:
            return self._publish(connection, flags, body)
        elif kind == PINGREQ:
            self.seen.pings += 1
            connection.sendall(bytes([PINGRESP << 4, 0]))
        elif kind == DISCONNECT:
            self.seen.disconnects += 1
            return False
        return True

    def _connect(self, connection: socket.socket, body: bytes) -> bool:
        (length,) = struct.unpack_from("!H", body, 10)
        (keep_alive,) = struct.unpack_from("!H", body, 8)
        client_id = body[12 : 12 + length].decode()
        self.seen.connects.append({"client_id": client_id, "keep_alive": keep_alive, "flags": body[7]})
        if self.script.one_per_client_id and client_id in self._by_client_id:
            with contextlib.suppress(OSError):
                self._by_client_id[client_id].shutdown(socket.SHUT_RDWR)
        self._by_client_id[client_id] = connection
        if self.script.close_after_connect:
            return False
        if self.script.connack is not None:
            connection.sendall(bytes([CONNACK << 4, 2, 0, self.script.connack]))
        return not self.script.connack

    def _publish(self, connection: socket.socket, flags: int, body: bytes) -> bool:
        (length,) = struct.unpack_from("!H", body)
        topic, rest, qos = body[2 : 2 + length].decode(), body[2 + length :], flags >> 1 & 3
        self.seen.publishes.append((topic, rest[2:] if qos else rest, qos))
        if self.script.close_on_publish:
            return False
        if qos:
            connection.sendall(bytes([PUBACK << 4, 2]) + rest[:2])
        time.sleep(self.script.delay)
        if self.script.raw_answer:
            connection.sendall(self.script.raw_answer)
            return True
        for reply_topic, payload in self.script.answer(topic, rest):
            _send_message(connection, reply_topic, payload)
        return True


def _send_message(connection: socket.socket, topic: str, payload: bytes) -> None:
    name = topic.encode()
    content = struct.pack("!H", len(name)) + name + payload
    connection.sendall(bytes([PUBLISH << 4]) + _remaining_length(len(content)) + content)


def _read_packet(connection: socket.socket) -> tuple[int, int, bytes]:
    first = _read(connection, 1)[0]
    length, shift = 0, 0
    while True:
        byte = _read(connection, 1)[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return first >> 4, first & 0x0F, _read(connection, length)


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += connection.recv(count - len(data)) or _end()
    return data


def _end() -> bytes:
    raise EOFError


def _remaining_length(length: int) -> bytes:
    encoded = b""
    while True:
        length, byte = divmod(length, 128)
        encoded += bytes([byte | 0x80 if length else byte])
        if not length:
            return encoded

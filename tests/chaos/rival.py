"""Another client with the daemon's client ID: each time that the broker ends its connection, it takes the ID again."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading

from tests.chaos.scene import THING, Scene
from tests.chaos.service import CLOUD_ADDRESS, PORT

CONNECT = 0x10
CLEAN_SESSION, KEEP_ALIVE = 2, 60
CONNECT_TIMEOUT = 5.0  # seconds
PAUSE = 0.5  # seconds between two take-overs


class Rival:
    """Fights for the client ID until the block ends."""

    def __init__(self, scene: Scene) -> None:
        self._network = scene.network
        files = scene.authority.issue(f"{THING}-rival")
        self._context = ssl.create_default_context(cafile=str(scene.authority.certificate))
        self._context.load_cert_chain(files.certificate, files.private_key)
        self._ended = threading.Event()
        self._line: socket.socket | None = None
        self._thread = threading.Thread(target=self._fight, daemon=True)

    def __enter__(self) -> Rival:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _fight(self) -> None:
        while not self._ended.wait(PAUSE):
            with contextlib.suppress(OSError):
                self._take_over()

    def _take_over(self) -> None:
        """Connect, and stay until the broker ends the connection."""
        with self._network.device.entered():
            line = socket.create_connection((CLOUD_ADDRESS, PORT), CONNECT_TIMEOUT)
        self._line = line.dup()  # TLS takes the socket itself away
        with self._line, self._context.wrap_socket(line, server_hostname=CLOUD_ADDRESS) as connection:
            connection.sendall(connect_packet(THING))
            connection.settimeout(None)
            while connection.recv(256):
                pass


def connect_packet(client_id: str) -> bytes:
    """Return an MQTT 3.1.1 CONNECT of a client ID."""
    body = b"\0\4MQTT" + struct.pack("!BBHH", 4, CLEAN_SESSION, KEEP_ALIVE, len(client_id)) + client_id.encode()
    return bytes([CONNECT, len(body)]) + body

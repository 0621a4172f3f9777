"""An endpoint: the address and the port of a broker, and sockets that listen or talk there."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass

from defender_detect.errors import BrokerError

KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}  # a peer that vanished is noticed in 2 minutes
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the key says "every interface", nothing binds to it


@dataclass(frozen=True)
class Endpoint:
    """Where a broker is; port 0 stands for any free one."""

    host: str
    port: int

    @property
    def reachable(self) -> Endpoint:
        """The endpoint as a client on the same machine reaches it."""
        return Endpoint(ANY_ADDRESS.get(self.host, self.host), self.port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listen(endpoint: Endpoint) -> socket.socket:
    """Listen at exactly one address, so that port 0 is one port and nothing listens where it was not asked to."""
    if not endpoint.host:
        raise BrokerError("the broker must have an address to listen on, got none")
    try:
        family, _, _, _, address = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        reason = (
            os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        )  # those < 0: getaddrinfo
        raise BrokerError(f"the broker cannot listen on {endpoint}: {reason}") from error


def send_at_once(connection: socket.socket) -> None:
    """Switch Nagle's algorithm off: a reply is one small packet, and would wait for the last one's acknowledgement."""
    with suppress(OSError):  # a socket that has just been closed by the other side
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def notice_silence(connection: socket.socket) -> None:
    """Let the kernel find out when the other side has vanished without closing the connection."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEP_ALIVE.items():
            if hasattr(socket, option):  # their names differ between systems
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

"""Ports of loopback for servers that are started later.

A port that the kernel chose, and that was closed again, can become any program's before the server is there: each
connection takes one. So these are below those that kernels choose from.
"""

from __future__ import annotations

import errno
import random
import socket

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
CHOSEN_HERE = range(10_240, 32_768)  # Linux chooses from 32768 on, macOS from 49152 on
NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # of a machine without IPv6


def find_free_port() -> int:
    """Return a port of loopback that no socket has."""
    return next(port for port in random.sample(CHOSEN_HERE, len(CHOSEN_HERE)) if is_free(port))


def is_free(port: int) -> bool:
    """Tell whether no socket has a port, over TCP or UDP, IPv4 or IPv6."""
    return all(_can_bind(family, kind, port) for family in LOOPBACK for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))


def has_address(family: socket.AddressFamily) -> bool:
    """Tell whether this machine has loopback in an address family: not every one has IPv6."""
    try:
        with socket.socket(family) as sock:
            sock.bind((LOOPBACK[family], 0))
    except OSError as error:
        return error.errno not in NO_SUCH_ADDRESS
    return True


def _can_bind(family: socket.AddressFamily, kind: socket.SocketKind, port: int) -> bool:
    try:
        with socket.socket(family, kind) as sock:
            sock.bind((LOOPBACK[family], port))
    except OSError as error:
        return error.errno in NO_SUCH_ADDRESS
    return True

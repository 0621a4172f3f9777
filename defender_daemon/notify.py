"""Notifications to systemd: ready, what goes on, still alive, stopping (the protocol of sd_notify(3)).

In a few lines of our own, because the packages on PyPI that do it are unmaintained or need a compiler on a device.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Tells the service manager what the program says; nobody, when it was not started by one that listens."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        interval = environment.get("WATCHDOG_USEC", "") if watched else ""
        self.watchdog_interval = int(interval) / 1e6 if interval.isdigit() else None  # seconds without a sign of life

    def ready(self) -> None:
        """Say that the program is up (again)."""
        self._send("READY=1")

    def status(self, line: str) -> None:
        """Say in one line what goes on."""
        self._send(f"STATUS={line}")

    def alive(self) -> None:
        """Give the sign of life that a watchdog of the service manager waits for."""
        if self.watchdog_interval is not None:
            self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Say that the configuration is being read again; `ready` ends that."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Say that the program is going down."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1.0)
            sock.sendto(message.encode(), address)

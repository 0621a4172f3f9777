"""Signals: what a service manager or a person wants of the program, received without a race."""

from __future__ import annotations

import signal
import socket


class Signals:
    """Receives signals from now on; to be made, and waited at, by the main thread.

    Python's own handlers run between two instructions only. A signal that comes after the last of them, and before the
    system call that sleeps, would not be seen until that call ends. So the interpreter's C handler writes each signal's
    number into a socket, and who sleeps at the other end of that wakes.
    """

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers
        self._ours, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)
        signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda number, frame: None)

    def wait(self, timeout: float) -> int | None:
        """Return the number of the next signal, or None after `timeout` seconds, or where another one came."""
        self._ours.settimeout(max(timeout, 0.001))  # 0 would mean not to wait at all, and to fail
        try:
            number = self._ours.recv(1)[0]
        except socket.timeout:  # its own class before Python 3.10
            return None
        return number if number in self._numbers else None

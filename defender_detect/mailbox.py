"""The mailbox of the main thread: signals and errors that end its sleep, whenever they come."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections import deque

from defender_detect.errors import DetectError

ERROR = 0  # the byte that stands for an error; no signal has this number


class Mailbox:
    """Receives signals from now on, and errors from other threads; to be made and waited at by the main thread.

    Python's own signal handlers run between two instructions only: a signal that comes right before the system call
    that sleeps would not be seen until that call ends. So the interpreter writes each signal's number into a socket.
    """

    def __init__(self, *numbers: int) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)
        self._errors: deque[DetectError] = deque()
        signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda number, frame: None)

    def put(self, error: DetectError) -> None:
        """Wake the main thread with an error, which ends the program."""
        self._errors.append(error)
        self.wake()

    def wake(self) -> None:
        """Wake the main thread, for which nothing has come."""
        with contextlib.suppress(BlockingIOError):  # full of signals, any of which wakes the main thread as well
            self._theirs.send(bytes([ERROR]))

    def wait(self, timeout: float) -> int | None:
        """Return the next signal's number, or None after `timeout` seconds; raise the error that was put in."""
        self._ours.settimeout(timeout)
        try:
            number = self._ours.recv(1)[0]
        except socket.timeout:  # its own class before Python 3.10
            return None
        if self._errors:
            raise self._errors.popleft()
        return number or None  # 0 of an error that a signal before it has told of

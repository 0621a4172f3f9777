"""A program that a scene runs: every line it says, with the moment it came."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tests.namespaces import Namespace

LOOK_AGAIN = 0.02  # seconds between two looks at what a program has said
WITH_ITS_PARENT = ("setpriv", "--pdeathsig", "KILL")  # no program outlives the tests, however those end
END_WITHIN = 5.0  # seconds that a program has to end by itself


class Line(NamedTuple):
    """A line and the moment it came, in seconds of the monotonic clock."""

    moment: float
    text: str


class Program:
    """A process in a namespace of its own, and every line it has said so far."""

    def __init__(
        self, namespace: Namespace, command: Sequence[object], env: Mapping[str, str] | None = None, cwd: object = None
    ) -> None:
        self.lines: list[Line] = []
        with namespace.entered():
            self.process = subprocess.Popen(
                [*WITH_ITS_PARENT, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=env,
                cwd=str(cwd) if cwd else None,
            )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def text(self) -> str:
        """Everything said so far."""
        return "\n".join(line.text for line in self.lines)

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def find(self, pattern: str, since: float = 0.0) -> list[Line]:
        """Return the lines since a moment that hold `pattern`."""
        return [line for line in list(self.lines) if line.moment >= since and re.search(pattern, line.text)]

    def wait_for_line(self, pattern: str, within: float, since: float = 0.0) -> Line:
        """Return the first line since a moment that holds `pattern`; fails when none comes within so many seconds."""
        deadline = time.monotonic() + within
        while True:
            found = self.find(pattern, since)
            if found:
                return found[0]
            if time.monotonic() > deadline or not (self.running or self._listener.is_alive()):
                raise AssertionError(f"no line with {pattern!r} came within {within:g} s:\n{self.text}")
            time.sleep(LOOK_AGAIN)

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ask the process to end, as a service manager does, and return its exit status."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END_WITHIN)
        return self.kill()

    def kill(self) -> int:
        """End the process at once, also one that is stopped, and return its exit status."""
        if self.running:
            self.process.kill()
        status = self.process.wait()
        self._listener.join(END_WITHIN)
        return status

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.append(Line(time.monotonic(), line.rstrip("\n")))

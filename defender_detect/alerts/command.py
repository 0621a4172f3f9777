"""Alerts to a command: the JSON body on its standard input, without a shell, and for a bounded time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Annotated

from msgspec import Meta

from defender_detect.alerts.target import Publish, Target
from defender_detect.errors import AlertError
from defender_detect.evaluate.shapes import alert_body
from device_defender.definition import that

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

TIMEOUT = 30.0  # seconds
GIVE_UP_AFTER = 600.0  # seconds; a command that fails for so long is wrong, and other alerts wait behind this one
SHOWN = 200  # characters of what the command says about its failure


Argument = Annotated[str, Meta(max_length=1024)]


def is_command(command: Sequence[str]) -> bool:
    """Tell whether there is a program to run."""
    return bool(command) and bool(command[0])


class Command(Target, frozen=True):
    """A program that has each alert on its standard input; no shell, at most 30 s, exit status 0 means taken."""

    command: Annotated[
        list[Argument], that(is_command, "an array of strings: a program and its arguments"), Meta(min_length=1)
    ]
    """The program and its arguments."""

    def open(self, publish: Publish) -> CommandSink:
        """Return what runs the command."""
        return CommandSink(self.command)


class CommandSink:
    """Runs a command for each alert; exit status 0 means that it was taken."""

    give_up_after = GIVE_UP_AFTER

    def __init__(self, command: Sequence[str], timeout: float = TIMEOUT) -> None:
        """Prepare to run a program and its arguments."""
        self.name = f"the command {os.path.basename(command[0])}"
        self._command, self._timeout = list(command), timeout

    def send(self, event: Event) -> None:
        """Run the command with an alert; whatever it started ends with it when its time is up."""
        body = json.dumps(alert_body(event)).encode()
        with tempfile.TemporaryFile() as output:  # no pipe: a child that stays behind would hold it open
            process = self._start(output)
            try:
                process.communicate(body, self._timeout)
            except subprocess.TimeoutExpired:
                raise AlertError(f"it was ended, because it ran for more than {self._timeout:g} s") from None
            finally:
                kill_group(process)
            if process.returncode:
                raise AlertError(f"exit status {process.returncode}{last_words(output)}")

    def _start(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=output, start_new_session=True
            )
        except (OSError, ValueError) as error:
            raise AlertError(f"it cannot be started: {error}") from error


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a command that still runs, with all that it started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError):  # what it did not read is lost
            process.stdin.close()


def last_words(output: IO[bytes]) -> str:
    """Return the end of what a command wrote to its standard error, in ASCII and one line."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - SHOWN))
    text = " ".join(output.read().decode("utf-8", "replace").split())
    return f": {ascii(text)[1:-1]}" if text else ""

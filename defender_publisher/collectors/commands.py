"""A command of the operator's own that prints a metric's value."""

from __future__ import annotations

import errno
import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress

from defender_daemon.command_user import command_user, end
from defender_publisher.collectors.output import parse_output
from defender_publisher.collectors.value import Value
from defender_publisher.errors import CollectError

MOST_OUTPUT = 64 * 1024  # bytes; half of the largest message AWS IoT takes, so more could not be reported
STDERR_KEPT = 4 * 1024  # bytes; its last line explains a failure
GRACE = 1.0  # seconds that a killed process gets to be gone; one that hangs in the kernel may need much longer


def run_command(argv: Sequence[str], metric_type: str, timeout: float) -> Value:
    """Run a program and return the value it prints (see `parse_output`); `timeout` is in seconds.

    Raises CollectError when the program is missing, fails, prints too much or something else, or takes too long.
    """
    try:
        return parse_output(read_output(argv, timeout), metric_type)
    except CollectError as error:
        raise CollectError(f"{argv[0]} {error}") from error


def read_output(argv: Sequence[str], timeout: float) -> str:
    """Run a program without a shell and return what it printed on standard output, once it and its output have ended.

    It gets no input, and a session of its own, so that whatever it started can be ended with it: a grandchild that
    keeps the output open counts as still running. Raises CollectError, whose text goes on from the program's name.
    """
    deadline = time.monotonic() + timeout
    process = _start(argv)
    try:
        stdout, stderr = _read_until_closed(process, deadline)
        status = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise CollectError(f"did not end within {timeout:g} seconds") from error
    finally:
        _end(process)
    if status:
        raise CollectError(_failure(status, stderr))
    return stdout.decode(errors="replace")


def _start(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    whose = command_user()
    try:
        return whose.start(argv)
    except FileNotFoundError as error:
        exists = os.path.exists(argv[0])  # then it is a script, and the program that its first line names is missing
        raise CollectError("needs an interpreter that was not found" if exists else "was not found") from error
    except PermissionError as error:
        if error.errno == errno.EPERM and whose.user is not None:  # a root without the right to become somebody else
            raise CollectError(f"cannot be run{whose}: {error.strerror}") from error
        raise CollectError(
            "is not executable for this user" if whose.user is None else f"is not executable{whose}"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        raise CollectError(f"could not be started: {error}") from error


def _read_until_closed(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bytes]:
    """Return all of standard output, and the end of standard error; raises TimeoutExpired at the deadline."""
    assert process.stdout is not None
    assert process.stderr is not None
    kept = {process.stdout.fileno(): b"", process.stderr.fileno(): b""}
    with selectors.DefaultSelector() as selector:
        for descriptor in kept:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            for descriptor in _readable(selector, process, deadline):
                chunk = os.read(descriptor, MOST_OUTPUT)
                if not chunk:
                    selector.unregister(descriptor)
                kept[descriptor] = _keep(kept[descriptor] + chunk, descriptor == process.stdout.fileno())
    return kept[process.stdout.fileno()], kept[process.stderr.fileno()]


def _readable(selector: selectors.BaseSelector, process: subprocess.Popen[bytes], deadline: float) -> list[int]:
    left = deadline - time.monotonic()
    if left <= 0:
        raise subprocess.TimeoutExpired(process.args, left)
    return [key.fd for key, _ in selector.select(left)]


def _keep(printed: bytes, is_stdout: bool) -> bytes:
    if not is_stdout:
        return printed[-STDERR_KEPT:]
    if len(printed) > MOST_OUTPUT:
        raise CollectError(f"printed more than {MOST_OUTPUT} bytes")
    return printed


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process group if its leader has not ended, and let go of the pipes, whoever else holds them."""
    if process.returncode is None:
        end(process)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _failure(status: int, stderr: bytes) -> str:
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    lines = stderr.decode(errors="replace").strip().splitlines()
    return f"{how}: {lines[-1].strip()}" if lines else how

"""The health: what a status file and a daemon's lock together say; what every daemon tells of it in the same words."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from defender_daemon import lock
from defender_daemon.errors import Problem
from defender_daemon.status import LastError, Status, StatusError

HEALTHY, LATE, NOT_RUNNING = "healthy", "late", "not running"
EXIT_HEALTH = {HEALTHY: 0, LATE: 1, NOT_RUNNING: 3}  # 3 as in `systemctl status`
PATIENCE = 2  # intervals without what a daemon is for, after which something is wrong


def is_running(path: Path) -> bool:
    """Whether a daemon holds the lock at `path`; raises StatusError where that cannot be seen."""
    try:
        return lock.is_held(path)
    except PermissionError as error:
        raise StatusError(f"the state directory {path.parent} cannot be looked into", "try it with sudo") from error
    except OSError as error:
        raise StatusError(f"the lock in {path.parent} cannot be read: {error.strerror}", "remove it") from error


def is_alive(pid: int) -> bool:
    """Whether a process is there: a daemon that has just been started has not yet written a status of its own."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def as_json(health: msgspec.Struct) -> list[str]:
    """Return the lines of the health as one JSON object, for a program."""
    return msgspec.json.format(msgspec.json.encode(health)).decode().splitlines()


def first_line(health: str, who: str, status: Status) -> str:
    """Return the line that says how a daemon is; `who` is the program and what it runs for."""
    running = span(time.time() - status.since)
    if health == NOT_RUNNING:
        return f"not running: {who}; it was started {running} ago, and has ended"
    return f"{health}: {who}, process {status.pid}, running for {running}"


def error_line(error: LastError | None) -> str:
    """Return the line that says what a daemon complained of last."""
    if error is None:
        return "last error     none since the start"
    times = f" ({error.count} times)" if error.count > 1 else ""
    return f"last error     {span(time.time() - error.time)} ago: {error.text}{times}"


def problem_lines(health: str, problem: Problem | None, doctor: str) -> Iterator[str]:
    """Yield what keeps a daemon from its work, as far as it is known, and the command that finds out more."""
    if problem is not None:
        yield f"problem        {problem.says}"
        yield f"               {problem.advice}"
    if problem is not None or health != HEALTHY:
        yield f"next step      {doctor}"


def configuration_lines(status: Status, changed: bool) -> Iterator[str]:
    """Yield which configuration a daemon runs with, and whether it is another one by now."""
    yield f"configuration  {status.config_file or 'the command line'}"
    if changed:
        yield f"               has changed since, or options override it; kill -HUP {status.pid} lets it be read again"


def span(seconds: float) -> str:
    """Return a time as hours, minutes and seconds."""
    return str(datetime.timedelta(seconds=round(max(seconds, 0.0))))

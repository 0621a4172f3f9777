"""The log: standard error, or a file that is rotated, in the CloudWatch publisher's format, without repetitions."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from defender_daemon.text import printable

if TYPE_CHECKING:
    from defender_daemon.config import Agent

LOG_FORMAT = "%(asctime)s : %(levelname)s : %(message)s"
FORGOTTEN_AFTER = 2 * 3600.0  # seconds without it, after which a warning is news again; reports come every 300 s
MOST_KEPT = 200  # different warnings that are remembered; the oldest one is forgotten first
STEP = 10  # the 1st, 10th, 100th, 1,000th ... of the same warnings are logged
ALWAYS_LOGGED = {"every": True}  # the `extra` of a record that is never counted instead
TIME = "%Y-%m-%d %H:%M"

PROGRAMS = ("defender_daemon", "defender_publisher", "defender_cloudwatch")  # packages log under their names

log = logging.getLogger("defender_daemon")


def configure_logging(agent: Agent, *also: logging.Handler) -> None:
    """Send this program's log where the configuration says; standard error too while that is a terminal.

    Handlers in `also` hear everything too. In the others a warning that repeats itself is counted, but for debug mode.
    """
    problem = ""
    handlers: list[logging.Handler] = []
    try:
        if agent.logfile:
            handlers.append(_file_handler(agent))
    except OSError as error:
        problem = f"the log file {agent.logfile} cannot be written ({error.strerror}): logging to standard error"
    if not handlers or sys.stderr.isatty():
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(OneLine(LOG_FORMAT))
        if not agent.debug:
            handler.addFilter(Repeats())
    logging.basicConfig(handlers=[*handlers, *also], level=logging.WARNING, force=True)
    _set_level(logging.DEBUG if agent.debug else logging.INFO)
    _quieten_libraries(agent.debug)
    if problem:
        log.warning(problem)


def log_to_stderr(level: int) -> None:
    """Send the log of a program that a person runs once to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(LOG_FORMAT))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    _set_level(level)
    _quieten_libraries(False)


class OneLine(logging.Formatter):
    """Formats a record as one line, whatever is in its message; a traceback follows in lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line; what others wrote can neither begin another nor steer a terminal."""
        record.message = printable(record.message, sys.maxsize)
        return super().formatMessage(record)


def _file_handler(agent: Agent) -> logging.Handler:
    from defender_daemon.logfile import LogFile  # here, because a service that logs to standard error does without

    os.makedirs(os.path.dirname(str(agent.logfile)), exist_ok=True)
    return LogFile(str(agent.logfile), agent.log_max_size, agent.log_max_count)


def _set_level(level: int) -> None:
    for program in PROGRAMS:
        logging.getLogger(program).setLevel(level)


def _quieten_libraries(debug: bool) -> None:
    """Hear the SDK only in debug mode: it logs the failures that this program explains itself."""
    logging.getLogger("AWSIoTPythonSDK").setLevel(logging.WARNING if debug else logging.CRITICAL)


class Repeats(logging.Filter):
    """Passes a warning or error that is new; the same again, but for its digits, only at its 10th, 100th ... time.

    One for each handler, because a handler's filters see each record once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, _Series] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record goes into the log; where it stands for many, its message says so."""
        if record.levelno < logging.WARNING or getattr(record, "every", False):
            return True
        now = self._clock()
        with self._lock:
            series = self._series(key_of(record.getMessage()), now)
            series.count, series.last = series.count + 1, now
            logged = series.count in series.milestones
        if logged and series.count > 1 and not hasattr(record, "counted"):
            record.msg, record.args = f"{record.getMessage()} ({series.count} times since {series.since})", ()
            record.counted = True  # another handler's filter may have said so already
        return logged

    def _series(self, key: str, now: float) -> _Series:
        series = self._seen.pop(key, None)
        if series is None or now - series.last >= FORGOTTEN_AFTER:
            series = _Series(now)
        self._seen[key] = series  # at the end: the order is that of the last time
        if len(self._seen) > MOST_KEPT:
            del self._seen[next(iter(self._seen))]
        return series


class _Series:
    """The same warning again and again."""

    milestones = frozenset(STEP**power for power in range(12))

    def __init__(self, now: float) -> None:
        self.count = 0
        self.last = now
        self.since = time.strftime(TIME)


def key_of(message: str) -> str:
    """Return what two messages have in common that differ only in numbers: ids, seconds, ports."""
    return re.sub(r"\d+", "#", message)

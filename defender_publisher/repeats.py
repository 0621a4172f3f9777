"""Repeats: a filter that lets the same warning into the log once, and then counts."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable

FORGOTTEN_AFTER = 2 * 3600.0  # seconds without it, after which a warning is news again; reports come every 300 s
MOST_KEPT = 200  # different warnings that are remembered; the oldest one is forgotten first
STEP = 10  # the 1st, 10th, 100th, 1,000th ... of the same warnings are logged
ALWAYS_LOGGED = {"every": True}  # the `extra` of a record that is never counted instead
TIME = "%Y-%m-%d %H:%M"


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

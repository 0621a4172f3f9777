"""Notices: what others do wrong goes into the log once a minute for each of them, with how often it was."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

PERIOD = 60.0  # seconds in which the same notice of the same one is logged once
MOST = 500  # different notices that are told apart; of what comes beyond them only the number is logged
OTHERS = "(others)"


@dataclass
class _Series:
    """The same notice again and again."""

    since: float
    more: int = 0  # that were not logged
    last: str = ""


class Notices:
    """Warns of what others do, so that nobody can fill the log; for the use of one thread."""

    def __init__(
        self, log: logging.Logger, level: int = logging.WARNING, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log, self._level, self._clock = log, level, clock
        self._series: dict[Hashable, _Series] = {}
        self._next_look = clock() + PERIOD

    def say(self, key: Hashable, message: str, error: BaseException | None = None) -> None:
        """Log a message if it is the first with this key for a minute, else count it; an error with its traceback."""
        self.tell_repeats()
        series = self._series.get(key)
        if series is None and len(self._series) >= MOST:
            key, series = OTHERS, self._series.get(OTHERS)
        if series is None:
            self._series[key] = _Series(self._clock())
            self._log.log(self._level, "%s", message, exc_info=error)
        else:
            series.more, series.last = series.more + 1, message

    def tell_repeats(self) -> None:
        """Once a minute log what was counted, and forget what has not come again."""
        now = self._clock()
        if now < self._next_look:
            return
        self._next_look = now + PERIOD
        for key, series in list(self._series.items()):
            if series.more:
                self._log.log(self._level, "%s (%d times in %.0f s)", series.last, series.more, now - series.since)
                self._series[key] = _Series(now)
            else:
                del self._series[key]

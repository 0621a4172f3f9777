"""The axis of time that everything on a page shares, and where a time is on it."""

from __future__ import annotations

import time
from typing import NamedTuple

MOST_TICKS = 7
STEPS = (10, 30, 60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 2 * 86400, 7 * 86400)  # seconds
HOUR, DAY = 3600, 86400  # seconds
SHORTEST = 60.0  # seconds of an axis


class Tick(NamedTuple):
    """A mark of the axis: where, in percent, and what it says."""

    place: float
    text: str


class Axis(NamedTuple):
    """From when to when, in seconds since the epoch."""

    start: float
    end: float

    @property
    def length(self) -> float:
        """How many seconds it has."""
        return self.end - self.start

    def place(self, when: float) -> float:
        """Return where a time is, in percent; what is beyond an end is at it."""
        return round(min(100.0, max(0.0, (when - self.start) / self.length * 100)), 2)

    def stretch(self, start: float, end: float, least: float = 0.15) -> tuple[float, float]:
        """Return where a stretch of time begins, and how wide it is, in percent; a short one is still seen."""
        left = self.place(start)
        width = max(least, round(self.place(end) - left, 2))
        return min(left, round(100 - width, 2)), width

    @property
    def ticks(self) -> list[Tick]:
        """The marks, at round times of the local time zone."""
        step = next((each for each in STEPS if self.length / each <= MOST_TICKS), STEPS[-1])
        offset = time.localtime(self.end).tm_gmtoff
        first = -(-(self.start + offset) // step) * step - offset
        times = [first + step * number for number in range(-1, int((self.end - first) // step) + 2)]
        if step > HOUR:  # before the clocks were changed it was another time of day
            times = [each + offset - time.localtime(each).tm_gmtoff for each in times]
        times = [each for each in times if self.start <= each <= self.end]
        form = "%d %b" if step >= DAY else "%H:%M" if step >= 60 else "%H:%M:%S"
        return [Tick(self.place(each), _say(each, form)) for each in times]


def fit(end: float, longest: float, first: float | None) -> Axis:
    """Return the axis of so many seconds at most, without the time before there was anything to see."""
    start = end - longest
    if first is not None:
        start = max(start, min(first - 0.01 * (end - first), end - SHORTEST))
    return Axis(start, end)


def _say(when: float, form: str) -> str:
    moment = time.localtime(when)
    at_midnight = form == "%H:%M" and (moment.tm_hour, moment.tm_min) == (0, 0)
    return time.strftime("%d %b" if at_midnight else form, moment)

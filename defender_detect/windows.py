"""The sum of a metric over the last `durationSeconds`: of what, by which report, is packed into one byte string."""

from __future__ import annotations

import math
import struct
from itertools import chain
from typing import NewType

from defender_detect.metrics import as_count

History = NewType("History", bytes)  # doubles: since when reports are known, then each one's time and value

NO_HISTORY = History(b"")
TOLERANCE = 0.01  # of the duration: reports come every 300 s, but not exactly, and two of them must not count as 300 s
MOST_POINTS = 64  # that a window tells apart, 1 KB; more are put together. An hour of reports every 300 s has 12

ONE_POINT = struct.Struct("<3d")


def add_to_window(history: History, value: float, now: float, duration: float) -> tuple[History, float, bool]:
    """Return the history with a report's value, the sum over the window, and whether all of the window is known.

    A window ends with the report. What the history has of the same or a later time is replaced: that report came
    twice, or the clock was set back.
    """
    start = now - duration * (1 - TOLERANCE)
    if not history:
        return History(ONE_POINT.pack(now, now, value)), value, False
    numbers = struct.unpack(f"<{len(history) // 8}d", history)
    since = min(numbers[0], now)
    is_full = since <= start
    if numbers[-2] <= start:
        return History(ONE_POINT.pack(since, now, value)), value, is_full
    points = [(time, number) for time, number in zip(numbers[1::2], numbers[2::2]) if start < time < now]
    points = add_point(points, now, value, duration / MOST_POINTS)
    total = math.fsum(number for _, number in points)
    packed = struct.pack(f"<{1 + 2 * len(points)}d", since, *chain.from_iterable(points))
    return History(packed), as_count(int(total) if total.is_integer() else total), is_full


def add_point(
    points: list[tuple[float, float]], now: float, value: float, resolution: float
) -> list[tuple[float, float]]:
    """Return the points with one more, which is added to the last if there are many and that is hardly older."""
    if len(points) >= MOST_POINTS and now - points[-1][0] < resolution:
        time, number = points[-1]
        return [*points[:-1], (time, number + value)]
    return [*points, (now, float(value))]

"""The sum of a metric over the last `durationSeconds`: of what, by which report, is packed into one byte string."""

from __future__ import annotations

import math
import struct
from bisect import bisect_left, bisect_right
from typing import NewType

from defender_detect.metrics import as_count

History = NewType("History", bytes)  # doubles: since when reports are known, then each one's time and value

NO_HISTORY = History(b"")
TOLERANCE = 0.01  # of the duration: reports come every 300 s, but not exactly, and two of them must not count as 300 s
MOST_POINTS = 64  # that a window tells apart, 1 KB; more are put together. An hour of reports every 300 s has 12

ONE_POINT = struct.Struct("<3d")
NUMBER, POINT = struct.Struct("<d"), struct.Struct("<2d")


def add_to_window(history: History, value: float, now: float, duration: float) -> tuple[History, float, bool]:
    """Return the history with a report's value, the sum over the window, and whether all of the window is known.

    A window ends with the report. What the history has of the same or a later time is replaced: that report came
    twice, or the clock was set back.
    """
    start = now - duration * (1 - TOLERANCE)
    if not history:
        return History(ONE_POINT.pack(now, now, value)), value, False
    numbers = struct.unpack(f"<{len(history) // 8}d", history)
    since, times = min(numbers[0], now), numbers[1::2]
    first, end = bisect_right(times, start), bisect_left(times, now)
    values = numbers[2 * first + 2 : 2 * end + 1 : 2]
    total = math.fsum((*values, value))
    time, number = now, float(value)
    if len(values) >= MOST_POINTS and now - times[end - 1] < duration / MOST_POINTS:  # the last is hardly older
        end -= 1
        time, number = times[end], values[-1] + value
    kept = history[NUMBER.size + POINT.size * first : NUMBER.size + POINT.size * end]
    packed = History(NUMBER.pack(since) + kept + POINT.pack(time, number))
    return packed, as_count(int(total) if total.is_integer() else total), since <= start

"""Drawings: numbers over time as paths of an SVG of 1000 by 100, small enough to send, with gaps for the unknown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from defender_detect.console.axis import Axis

WIDTH, HEIGHT = 1000, 100
COLUMNS = 400  # of a chart: each shows its lowest and its highest value, which is as much as a screen has room for
GAP = 2.5  # usual intervals without a value are a gap and no line
HEADROOM = 1.08  # above the highest value
NEAR = 1.6  # a threshold so many times the highest value is still drawn; a farther one would press the line flat

Points = Sequence[tuple[float, float]]


class Plot(NamedTuple):
    """A line: its path, and what is read at each place, as pairs of places in thousandths and values."""

    path: str
    readings: list[tuple[int, float]]


def thin_out(points: Points, axis: Axis, columns: int = COLUMNS) -> Points:
    """Return the lowest and the highest of each column of a drawing, in order of time."""
    if len(points) <= 2 * columns:
        return points
    kept: list[tuple[float, float]] = []
    width, column, here = axis.length / columns, 0, points[0:0]
    low = high = None
    for point in points:
        place = int((point[0] - axis.start) / width)
        if low is None or high is None or place != column:
            if low is not None and high is not None:
                kept += [low] if low == high else sorted((low, high))
            column, low, high = place, point, point
        elif point[1] < low[1]:
            low = point
        elif point[1] > high[1]:
            high = point
    if low is not None and high is not None:
        kept += [low] if low == high else sorted((low, high))
    return kept or here


def find_interval(times: Sequence[float]) -> float:
    """Return the usual time between two reports, in seconds; 300 if there are too few to know."""
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    return max(1.0, median(gaps)) if gaps else 300.0


def find_top(values: Iterable[float], limits: Iterable[float] = ()) -> float:
    """Return the value at the top of a drawing: all values are below it, and those limits that are near; at least 0."""
    highest = max(values, default=0.0)
    near = [limit for limit in limits if limit <= highest * NEAR]
    return max([0.0, highest, *near]) * HEADROOM


def find_bottom(values: Iterable[float], limits: Iterable[float] = ()) -> float:
    """Return the value at the bottom of a drawing, as the one at its top: 0, unless something is below it."""
    return -find_top((-value for value in values), [-limit for limit in limits])


def draw_line(points: Points, axis: Axis, top: float, gap: float, bottom: float = 0.0) -> Plot:
    """Draw a line over an axis, with a gap where more than `gap` seconds have no value."""
    parts, readings, before = [], [], None
    longest = max(gap, 2 * axis.length / COLUMNS)
    across, down, base = WIDTH / axis.length, (HEIGHT - 2) / (top - bottom or 1.0), HEIGHT - 1
    for when, value in thin_out(points, axis):
        x = min(WIDTH, max(0, round((when - axis.start) * across)))
        y = round(base - min(base - 1.0, max(0.0, (value - bottom) * down)), 1)
        is_new = before is None or when - before > longest
        parts.append(f"{'M' if is_new else 'L'}{x},{y}")
        if is_new:
            parts.append("h2")  # a value alone is still seen
        readings.append((x, value))
        before = when
    return Plot("".join(parts), readings)


def draw_steps(points: Points, axis: Axis, top: float) -> str:
    """Draw a number that stays as it is until it changes."""
    if not points:
        return ""
    (first, value), *others = points
    parts = [f"M{scale(axis, first)},{fall(value, top)}"]
    parts += [f"H{scale(axis, when)}V{fall(value, top)}" for when, value in others]
    return "".join([*parts, f"H{WIDTH}"])


def scale(axis: Axis, when: float) -> int:
    """Return where a time is, in thousandths."""
    return round(axis.place(when) * 10)


def fall(value: float, top: float, bottom: float = 0.0) -> float:
    """Return how far below the top of a drawing a value is."""
    share = (value - bottom) / (top - bottom or 1.0)
    return round(HEIGHT - 1 - min(1.0, max(0.0, share)) * (HEIGHT - 2), 1)

"""A sparkline: how a metric went, in one line of characters."""

from __future__ import annotations

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
GAP = " "  # no value is not a low one
WIDTH = 60  # characters


def draw_sparkline(points: Sequence[tuple[float, float]], width: int = WIDTH) -> str:
    """Draw times and values, the oldest first, from the first time to the last; a character shows its highest value."""
    if not points:
        return ""
    start, end = points[0][0], points[-1][0]
    highest: list[float | None] = [None] * min(width, len(points))
    for time, value in points:
        place = min(int((time - start) / ((end - start) or 1) * len(highest)), len(highest) - 1)
        before = highest[place]
        highest[place] = value if before is None else max(before, value)
    low, high = min(value for _, value in points), max(value for _, value in points)
    return "".join(GAP if value is None else draw_bar(value, low, high) for value in highest)


def draw_bar(value: float, low: float, high: float) -> str:
    """Draw a value between the lowest and the highest; all are low if they are the same."""
    share = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.0  # halves: no overflow
    return BARS[min(int(share * len(BARS)), len(BARS) - 1)]

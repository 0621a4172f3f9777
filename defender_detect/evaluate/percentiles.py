"""Percentiles over all things that report, which a behavior with a `statisticalThreshold` is compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Union

import msgspec

MOST_VALUES = 65_536  # per behavior and window, about 2 MB; beyond them every second one is kept, then every fourth ...
Known = Union[float, None]  # msgspec evaluates annotations, and Python 3.9 has no X | Y


def percentile(values: Sequence[float], statistic: str) -> float | None:
    """Return the smallest of the values that so many percent of them do not exceed; None if one is negative.

    p0 is the smallest value and p100 the largest. Of no values there is no percentile.
    """
    ordered = sorted(values)
    if not ordered or ordered[0] < 0:
        return None
    rank = math.ceil(Fraction(statistic[1:]) / 100 * len(ordered))
    return ordered[max(rank, 1) - 1]


class Population(msgspec.Struct, array_like=True):
    """One behavior's datapoints of all things, window by window; msgspec can serialise it.

    Of more than it has room for it keeps a sample, and the smallest and the largest: p0 and p100 are exact.
    """

    statistic: str
    duration: float  # seconds
    window: int = -1  # the number of the present window since the epoch
    threshold: Known = None  # the percentile over the window before; None if nothing is known of that
    seen: int = 0  # datapoints in the present window
    stride: int = 1  # of how many one is kept
    values: list[float] = []
    least: float = math.inf
    most: float = -math.inf

    def add(self, datapoint: float, now: float) -> None:
        """Count a thing's datapoint."""
        self.advance(now)
        if self.seen % self.stride == 0:
            self.values.append(datapoint)
        self.seen += 1
        if datapoint < self.least:
            self.least = datapoint
        if datapoint > self.most:
            self.most = datapoint
        if len(self.values) >= MOST_VALUES:
            self.values = sorted(self.values)[::2]
            self.stride *= 2

    def advance(self, now: float) -> float | None:
        """Return the threshold that holds now: the percentile over the last window that is complete."""
        window = int(now // self.duration)
        if window > self.window or window < self.window - 1:  # less: the clock was set back
            self.threshold = self._find_percentile() if window == self.window + 1 else None
            self.window, self.seen, self.stride, self.values = window, 0, 1, []
            self.least, self.most = math.inf, -math.inf
        return self.threshold

    def _find_percentile(self) -> float | None:
        ordered = sorted(self.values)
        if ordered:
            ordered[0], ordered[-1] = min(ordered[0], self.least), max(ordered[-1], self.most)
        return percentile(ordered, self.statistic)

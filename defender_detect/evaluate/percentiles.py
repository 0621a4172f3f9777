"""Percentiles over all things that report, which a behavior with a `statisticalThreshold` is compared with.

The threshold in force is the percentile over the last window that has ended. Where several processes count for one
window, whoever compares a report waits until their sketches are merged (`defender_detect/flink/thresholds.py`).
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import msgspec

from defender_detect.evaluate.alarms import OrNone

MOST_VALUES = 65_536  # of a weight, 0.5 MB; up to so many values a percentile is exact, beyond them see Sketch
SIZE = struct.calcsize("<d")  # bytes of a value
FULL = MOST_VALUES * SIZE  # bytes of a level

_pack = struct.Struct("<d").pack


class Ranking(NamedTuple):
    """What a behavior with a `statisticalThreshold` is compared with."""

    statistic: str  # "p0" to "p100"
    duration: float  # seconds of a window


def window_of(time: float, duration: float) -> int:
    """Return the number of the window that a datapoint of that time counts for."""
    return int(time // duration)


def window_in_force(now: float, duration: float) -> int:
    """Return the number of the window whose percentile is the threshold now."""
    return window_of(now, duration) - 1


def percentile(values: Sequence[float], statistic: str) -> float | None:
    """Return the smallest of the values that so many percent of them do not exceed; None if one is negative.

    p0 is the smallest value and p100 the largest. Of no values there is no percentile.
    """
    ordered = sorted(values)
    if not ordered or ordered[0] < 0:
        return None
    return ordered[rank_of(statistic, len(ordered)) - 1]


def rank_of(statistic: str, number: int) -> int:
    """Return which of so many values, counted from 1 for the smallest, is the percentile."""
    return max(math.ceil(Fraction(statistic[1:]) / 100 * number), 1)


class Sketch(msgspec.Struct, array_like=True):
    """Any number of values in bounded memory; sketches of several processes can be merged, in any order.

    The values of a level stand for twice as many as those of the level before. Where one has 65,536 of them they are
    sorted, and every second one goes to the next level. That moves no rank by more than the weight of a value, and
    taking the first and the second in turns lets most of that cancel out: of a million values no percentile is wrong by
    more than 0.01 % of them. p0 and p100 are exact, and so are all of up to 65,536 values.
    """

    least: float = math.inf  # of the values that have left the first level
    most: float = -math.inf
    levels: list[bytearray] = msgspec.field(default_factory=lambda: [bytearray()])  # doubles, little-endian
    turns: list[bool] = msgspec.field(default_factory=lambda: [False])  # of each level: the second one is next

    @classmethod
    def from_bytes(cls, packed: bytes) -> Sketch:
        """Return what `to_bytes` packed; raise msgspec.DecodeError for anything else."""
        sketch = msgspec.msgpack.decode(packed, type=cls)
        if len(sketch.levels) != len(sketch.turns) or not sketch.levels or any(len(x) % SIZE for x in sketch.levels):
            raise msgspec.DecodeError("it is no sketch")
        return sketch

    def to_bytes(self) -> bytes:
        """Return it packed: 8 bytes a value, 0.5 MB a level at most."""
        return msgspec.msgpack.encode(self)

    def __len__(self) -> int:
        """Return how many values were added."""
        return sum(len(level) // SIZE << height for height, level in enumerate(self.levels))

    def add(self, value: float) -> None:
        """Add a value."""
        level = self.levels[0]
        level += _pack(value)
        if len(level) >= FULL:
            self._halve(0)

    def merge(self, other: Sketch) -> None:
        """Add all that another sketch was given, which stays as it is."""
        self.least, self.most = min(self.least, other.least), max(self.most, other.most)
        for height, level in enumerate(other.levels):
            self._extend(height, level)

    def percentile(self, statistic: str) -> float | None:
        """Return the percentile of what was added; None if nothing was, or a negative value."""
        levels = [sorted(_unpack(level)) for level in self.levels]
        number = sum(len(level) << height for height, level in enumerate(levels))
        least, most = min([self.least, *levels[0][:1]]), max([self.most, *levels[0][-1:]])
        if not number or least < 0:
            return None
        rank = rank_of(statistic, number)
        return least if rank == 1 else most if rank == number else _find(levels, rank)

    def _extend(self, height: int, packed: bytes | bytearray) -> None:
        """Add values to a level, and halve it where there are too many."""
        while height >= len(self.levels):
            self.levels.append(bytearray())
            self.turns.append(False)
        self.levels[height] += packed
        if len(self.levels[height]) >= FULL:
            self._halve(height)

    def _halve(self, height: int) -> None:
        """Take every second value of a level to the next one; the largest stays behind where their number is odd."""
        ordered = sorted(_unpack(self.levels[height]))
        if height == 0:
            self.least, self.most = min(self.least, ordered[0]), max(self.most, ordered[-1])
        left = ordered[len(ordered) // 2 * 2 :]
        kept = ordered[self.turns[height] : len(ordered) - len(left) : 2]
        self.turns[height] = not self.turns[height]
        self.levels[height] = bytearray(struct.pack(f"<{len(left)}d", *left))
        self._extend(height + 1, struct.pack(f"<{len(kept)}d", *kept))


def _unpack(level: bytes | bytearray) -> tuple[float, ...]:
    return struct.unpack(f"<{len(level) // SIZE}d", level)


def _find(levels: Sequence[Sequence[float]], rank: int) -> float:
    """Return the smallest of the values that, by their weights, so many do not exceed."""

    def reaches(value: float) -> bool:
        return sum(bisect_right(level, value) << height for height, level in enumerate(levels)) >= rank

    found = [level[place] for level in levels if (place := _first(level, reaches)) < len(level)]
    return min(found)


def _first(ordered: Sequence[float], holds: Callable[[float], bool]) -> int:
    """Return the place of the first value that something holds for, as it does for all after it."""
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(ordered[middle]) else (middle + 1, high)
    return low


class Population(msgspec.Struct, array_like=True):
    """One behavior's datapoints of all things, window by window; msgspec can serialise it."""

    statistic: str
    duration: float  # seconds
    window: int = -1  # the number of the present window since the epoch
    threshold: OrNone = None  # the percentile over the window before; None if nothing is known of that
    seen: int = 0  # as an earlier release kept them: datapoints, of how many one was kept, and those
    stride: int = 1
    values: list[float] = []
    least: float = math.inf
    most: float = -math.inf
    sketch: Sketch = msgspec.field(default_factory=Sketch)  # of the present window

    def __post_init__(self) -> None:
        """Take over what an earlier release kept of the present window."""
        if self.values:
            ordered = sorted(self.values)
            self.sketch.merge(
                Sketch(min(self.least, ordered[0]), max(self.most, ordered[-1]), *_levels(ordered, self.stride))
            )
            self.seen, self.stride, self.values, self.least, self.most = 0, 1, [], math.inf, -math.inf

    @property
    def ranking(self) -> Ranking:
        """What it is a population for."""
        return Ranking(self.statistic, self.duration)

    def add(self, datapoint: float, now: float) -> None:
        """Count a thing's datapoint."""
        self.advance(now)
        self.sketch.add(datapoint)

    def advance(self, now: float) -> float | None:
        """Return the threshold in force: the percentile over the last window that has ended."""
        window = now // self.duration  # as a call for each report would cost
        if window > self.window or window < self.window - 1:  # less: the clock was set back
            self._begin(int(window))
        return self.threshold

    def _begin(self, window: int) -> None:
        self.threshold = self.sketch.percentile(self.statistic) if window == self.window + 1 else None
        self.window, self.sketch = window, Sketch()


def _levels(values: Sequence[float], stride: int) -> tuple[list[bytearray], list[bool]]:
    """Return the levels of values that stand for so many each."""
    height = stride.bit_length() - 1
    return [*(bytearray() for _ in range(height)), bytearray(struct.pack(f"<{len(values)}d", *values))], [False] * (
        height + 1
    )

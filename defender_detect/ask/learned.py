"""What was learned of one metric: its values over all things, as far as a security profile can say what is normal."""

from __future__ import annotations

import math
import random
from array import array
from collections import Counter

from defender_detect.evaluate.behaviors import NO_HISTORY, History, compile_behavior
from defender_detect.metrics import Value
from defender_detect.profiles import parse_behavior

WINDOW = 3600  # seconds; what is sent in an hour says more than what is sent in five minutes
MOST_VALUES = 1_000_000  # of a number, 8 MB; beyond that they are a sample
MOST_DIFFERENT = 100_000  # items of a list; beyond that new ones are only counted


class Numbers:
    """The values of a number; what is asked for is a rank among them."""

    def __init__(self, seed: int = 0) -> None:
        """Take the seed of what is drawn where there are too many values."""
        self._values, self._number = array("d"), 0
        self._random = random.Random(seed)  # noqa: S311 - a sample is no secret

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: float) -> None:
        """Take a value; beyond MOST_VALUES each one is as likely as any other to be kept."""
        self._number += 1
        if len(self._values) < MOST_VALUES:
            self._values.append(value)
        elif (place := self._random.randrange(self._number)) < MOST_VALUES:
            self._values[place] = value

    def rank(self, share: float) -> float:
        """Return the nearest-rank percentile: the smallest value that `share` of all are not above."""
        values = sorted(self._values)
        return values[max(0, math.ceil(share * len(values)) - 1)]

    def above(self, limit: float) -> int:
        """Return how many of the kept values are above a limit."""
        return sum(value > limit for value in self._values)


class Sums:
    """The sums over the window that ends with each report, thing by thing, as Detect makes them."""

    def __init__(self, metric: str) -> None:
        criteria = {"comparisonOperator": "less-than", "value": {"count": 1}, "durationSeconds": WINDOW}
        self._evaluate = compile_behavior(parse_behavior({"name": "sum", "metric": metric, "criteria": criteria}))
        self._histories: dict[str, History] = {}
        self.numbers = Numbers()

    def add(self, thing: str, value: Value, time: float) -> None:
        """Take a thing's value; its values come in their order."""
        self._histories[thing], sum_, _ = self._evaluate(self._histories.get(thing, NO_HISTORY), value, time, None)
        if isinstance(sum_, (int, float)):
            self.numbers.add(sum_)


class Items:
    """The items of a list, and in how many reports each was."""

    def __init__(self) -> None:
        self.seen: Counter[int | float | str] = Counter()
        self.is_whole = True  # whether every item is counted

    def add(self, items: tuple[int | float | str, ...]) -> None:
        """Take a report's list."""
        if len(self.seen) < MOST_DIFFERENT:
            self.seen.update(items)
            return
        known = [item for item in items if item in self.seen]
        self.is_whole = self.is_whole and len(known) == len(items)
        self.seen.update(known)

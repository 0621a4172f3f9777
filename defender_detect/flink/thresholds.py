"""Percentiles over all things: when a window's is known to every worker, and which one is in force.

A window's datapoints are counted until the watermark is `COUNTED_AFTER` past its end; they come from a stream that may
be `OUT_OF_ORDER` behind the latest record. Together that is what the kernel calls settled, so that one process and any
number of workers compare with the same threshold.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from defender_detect.evaluate.percentiles import SETTLED_AFTER, Ranking, window_in_force
from defender_detect.evaluate.ruleset import Name

OUT_OF_ORDER = 20.0  # seconds that a record may be behind one that came before it
COUNTED_AFTER = SETTLED_AFTER - OUT_OF_ORDER  # seconds after a window's end, by the watermark
KEPT = 3  # windows of each behavior whose thresholds are remembered


def end_of(window: int, duration: float) -> float:
    """Return when a window's datapoints have been counted, by the watermark."""
    return (window + 1) * duration + COUNTED_AFTER


def known_at(now: float, duration: float) -> float:
    """Return from which watermark on every worker knows the threshold for a report of a time."""
    return end_of(window_in_force(now, duration), duration)


class Thresholds:
    """The percentiles of the last windows, by behavior."""

    def __init__(self) -> None:
        self._known: dict[Name, dict[int, float | None]] = {}

    def put(self, name: Name, window: int, value: float | None) -> None:
        """Remember a window's percentile, and forget those of windows long past."""
        windows = self._known.setdefault(name, {})
        windows[window] = value
        for each in sorted(windows)[:-KEPT]:
            del windows[each]

    def at(self, now: float, names: Iterable[Name], ranked: Mapping[Name, Ranking]) -> Mapping[Name, float | None]:
        """Return the thresholds in force at a time; None for a window of which nothing is known."""
        return {name: self._known.get(name, {}).get(window_in_force(now, ranked[name].duration)) for name in names}

    def to_json(self, name: Name) -> str:
        """Return a behavior's thresholds as text, for `restore`."""
        return json.dumps(list(self._known.get(name, {}).items()))

    def restore(self, name: Name, text: str) -> None:
        """Go on with a behavior's thresholds."""
        self._known[name] = {window: value for window, value in json.loads(text)}

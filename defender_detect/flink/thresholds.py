"""Percentiles over all things: when a window's is known to every worker, and which one is in force.

A window's datapoints are counted until the watermark is past its end, which is `OUT_OF_ORDER` behind the latest record.
A report that comes before its threshold has reached every worker is held back until then, so that one process and any
number of workers compare with the same threshold.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from defender_detect.evaluate.percentiles import Ranking, window_in_force
from defender_detect.evaluate.ruleset import Name

OUT_OF_ORDER = 20.0  # seconds that a record may be behind one that came before it


def end_of(window: int, duration: float) -> float:
    """Return when a window's datapoints have been counted, by the watermark."""
    return (window + 1) * duration


def known_at(now: float, duration: float) -> float:
    """Return from which watermark on every worker knows the threshold for a report of a time."""
    return end_of(window_in_force(now, duration), duration)


class Thresholds:
    """The percentiles of the last windows, by behavior and what is asked of it."""

    def __init__(self) -> None:
        self._known: dict[tuple[Name, Ranking], dict[int, float | None]] = {}

    def put(self, name: Name, ranking: Ranking, window: int, value: float | None, watermark: float) -> None:
        """Remember a window's percentile, and forget those that no record can be compared with any more."""
        oldest = window_in_force(watermark - OUT_OF_ORDER, ranking.duration)
        kept = {each: known for each, known in self._find(name, ranking).items() if each >= oldest}
        self._known[(name, ranking)] = {**kept, window: value}

    def at(self, now: float, names: Iterable[Name], ranked: Mapping[Name, Ranking]) -> Mapping[Name, float | None]:
        """Return the thresholds in force at a time; None for a window of which nothing is known."""
        return {name: self._find(name, ranked[name]).get(window_in_force(now, ranked[name].duration)) for name in names}

    def to_json(self) -> str:
        """Return them as text, for `restore`."""
        return json.dumps([[key, list(windows.items())] for key, windows in self._known.items()])

    def restore(self, text: str) -> None:
        """Go on with what `to_json` returned."""
        self._known = {(name, Ranking(*ranking)): dict(windows) for (name, ranking), windows in json.loads(text)}

    def _find(self, name: Name, ranking: Ranking) -> dict[int, float | None]:
        return self._known.get((name, ranking), {})

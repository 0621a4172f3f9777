"""Several state directories, as one: the answers of a Reader, merged, in the same order, and read by the same pages."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Union

from defender_detect.evaluate.alarms import Event, Violation
from defender_detect.metrics import Value
from defender_detect.store.reader import HOUR, NEIGHBORS, Reader, Thing, Verification

ACTIVE_ORDER = attrgetter("started_at", "thing", "profile", "behavior")  # as in the reader's statement


class Readers:
    """Asks the databases of several Detects, which may know the same thing where it moved from one to another."""

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._readers = readers

    def _each(self) -> Sequence[Reader]:
        return self._readers

    def things(self, after: str = "") -> Iterator[Thing]:
        """Yield the things that reported, by name, from behind a name; each once, with its last report of all."""
        found = heapq.merge(*(each.things(after) for each in self._each()), key=attrgetter("name"))
        for _, same in groupby(found, attrgetter("name")):
            yield joined(list(same))

    def knows(self, thing: str) -> bool:
        """Whether a thing has reported."""
        return any(each.knows(thing) for each in self._each())

    def neighbors(self, thing: str) -> list[str]:
        """Return the names of the things around a name, as Reader does; the nearest of all."""
        names = sorted({name for each in self._each() for name in each.neighbors(thing)})
        before = [name for name in names if name < thing][-NEIGHBORS:]
        return [*before, *[name for name in names if name > thing][: 2 * NEIGHBORS - len(before)]]

    def values(self, thing: str, metric: str, start: float, end: float) -> list[tuple[float, Value]]:
        """Return the times and values of a thing's metric from `start` until before `end`, the oldest first."""
        found = (each.values(thing, metric, start, end) for each in self._each())
        return list(heapq.merge(*found, key=itemgetter(0)))

    def observed(self, start: float, end: float) -> Iterator[tuple[float, str, dict[str, Value]]]:
        """Yield times, things and values of all reports from `start` until before `end`, hour by hour.

        A thing's are in order, but for the hour in which it moved from one Detect to another.
        """
        return heapq.merge(*(each.observed(start, end) for each in self._each()), key=lambda each: each[0] // HOUR)

    def metrics(self, thing: str) -> list[str]:
        """Return the names of the metrics in the thing's last reports that are kept."""
        return sorted({name for each in self._each() for name in each.metrics(thing)})

    def events(self, start: float, end: float, thing: str | None = None, profile: str | None = None) -> Iterator[Event]:
        """Yield the violation events from `start` until before `end`, the oldest first."""
        found = (each.events(start, end, thing, profile) for each in self._each())
        return heapq.merge(*found, key=attrgetter("time"))

    def active(self, thing: str | None = None, profile: str | None = None) -> Iterator[Violation]:
        """Yield the alarms that are on, the oldest first."""
        return heapq.merge(*(each.active(thing, profile) for each in self._each()), key=ACTIVE_ORDER)

    def verifications(self, violation_ids: Iterable[str]) -> dict[str, Verification]:
        """Return what people found of those violations that somebody judged; of two verdicts the later one."""
        ids = list(violation_ids)
        found: dict[str, Verification] = {}
        for each in self._each():
            for name, verification in each.verifications(ids).items():
                if name not in found or verification.time > found[name].time:
                    found[name] = verification
        return found


AnyReader = Union[Reader, Readers]


def joined(same: Sequence[Thing]) -> Thing:
    """Return what several directories know of a thing: the last report of all, and the alarms of each."""
    last = max(same, key=lambda each: each.accepted_at or 0.0)
    return last._replace(active_violations=sum(each.active_violations for each in same))

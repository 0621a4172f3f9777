"""A fleet that several Detects share: the summaries of their databases as one, for who looks at it as a whole."""

from __future__ import annotations

import heapq
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby, repeat
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, Union

from defender_detect.errors import StoreError, all_of
from defender_detect.evaluate.alarms import Event, Violation
from defender_detect.metrics import Value
from defender_detect.store.reader import Thing
from defender_detect.store.several import Readers, joined
from defender_detect.store.summaries import MOST_EVENTS_OF_A_THING, Change, Choice, Counts, Happened, OnNow, Summaries

COMPARED_FOR = 600.0  # seconds: which things moved is found by all names, of a million in two seconds

Points = list[tuple[float, Value]]
LastReport = tuple[str, Union[int, None], float]  # a thing, the report's number and time


class LeftBehind(NamedTuple):
    """What a database still has of a thing that reports to another Detect since."""

    thing: str
    accepted_at: float


class Fleet(Readers):
    """Counts over several databases; a thing that moved from one to another counts where it reported last.

    A database that is not there yet counts from when it is.
    """

    def __init__(self, parts: Sequence[Summaries], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(parts)
        self._all, self._clock = parts, clock
        self._compared: tuple[float, list[list[LeftBehind]]] | None = None

    @property
    def paths(self) -> list[Path]:
        """The databases that are there."""
        return [each.path for each in self._each()]

    def check(self) -> None:
        """Raise StoreError, which names all, if none of the databases can be read."""
        problems: list[StoreError] = []
        for each in self._each():
            try:
                each.check()
                return
            except StoreError as error:  # of one that its Detect is just bringing up to date, for instance
                problems.append(error)
        raise all_of(problems)

    def _each(self) -> Sequence[Summaries]:
        return [each for each in self._all if each.path.exists()] or self._all

    def count(self, silent: float) -> Counts:
        """Return how many things there are, and how many have not reported since a time."""
        found, left = [each.count(silent) for each in self._each()], list(chain(*self._left_behind()))
        times = [each.latest for each in found if each.latest is not None]
        return Counts(
            max(0, sum(each.things for each in found) - len(left)),  # some may be forgotten where they were, by now
            max(times, default=None),
            max(0, sum(each.silent for each in found) - sum(each.accepted_at < silent for each in left)),
        )

    def longest_silent(self) -> tuple[str, float] | None:
        """Return the thing that has been silent for longest, and since when."""
        found = (each.longest_silent(without) for each, without in self._without())
        return min((each for each in found if each is not None), key=itemgetter(1), default=None)

    def first_report(self, is_exact: bool = False) -> float | None:
        """Return when the oldest report that is kept came, as Summaries does."""
        found = (each.first_report(is_exact) for each in self._each())
        return min((each for each in found if each is not None), default=None)

    def on_now(self) -> list[OnNow]:
        """Return the behaviors with alarms that are on."""
        found: dict[tuple[str, str], OnNow] = {}
        for each in chain(*(part.on_now() for part in self._each())):
            before = found.get((each.profile, each.behavior), each._replace(number=0))
            found[each.profile, each.behavior] = each._replace(number=before.number + each.number)
        return list(found.values())

    def changes(self, start: float, end: float, width: float) -> list[Change]:
        """Return how many alarms of each behavior began and ended in each stretch; several rows may be of one."""
        return [*chain(*(each.changes(start, end, width) for each in self._each()))]

    def happened(self, start: float, end: float, width: float, most: int) -> list[Happened]:
        """Return what happened, the newest first, what is alike in a stretch of so many seconds as one."""
        found: dict[tuple[int, str, str, str], Happened] = {}
        for each in chain(*(part.happened(start, end, width, most) for part in self._each())):
            key = (int(each.time / width), each.profile, each.behavior, each.type)
            found[key] = _both(found[key], each) if key in found else each
        return sorted(found.values(), key=lambda each: -each.time)[:most]

    def alarmed(self) -> dict[str, int]:
        """Return the things in alarm, and how many alarms each has."""
        found: Counter[str] = Counter()
        for each in self._each():
            found.update(each.alarmed())
        return found

    def last_reports(self) -> Iterator[LastReport]:
        """Yield the things that reported, by name, with the last report's number and time."""
        for _, same in groupby(self._reports(), lambda each: each[1][0]):
            yield max((report for _, report in same), key=itemgetter(2))

    def count_named(self, part: str) -> int:
        """Return how many things have a part in their names, whether its ASCII letters are small or large."""
        return sum(each.count_named(part, without) for each, without in self._without())

    def count_quiet(self, part: str, silent: float) -> int:
        """Return how many things with a part in their names have been silent since a time, and are in no alarm."""
        return sum(each.count_quiet(part, silent, without) for each, without in self._calm())

    def list_quiet(self, part: str, silent: float, most: int, skip: int) -> list[tuple[str, float]]:
        """Return a page of those things, the longest silent first, and when each reported last."""
        found = [each.list_quiet(part, silent, most + skip, 0, without) for each, without in self._calm()]
        return sorted(chain(*found), key=itemgetter(1))[skip : skip + most]

    def list_well(self, part: str, silent: float, most: int, skip: int) -> list[tuple[str, float]]:
        """Return a page of the things that are neither silent nor in alarm, by name, and when each reported last."""
        found = [each.list_well(part, silent, most + skip, 0, without) for each, without in self._calm()]
        return sorted(chain(*found))[skip : skip + most]

    def thing(self, name: str) -> Thing | None:
        """Return what is known of a thing, None if it never reported."""
        found = [each for each in (part.thing(name) for part in self._each()) if each is not None]
        return joined(found) if found else None

    def all_values(self, thing: str, start: float, end: float) -> dict[str, Points]:
        """Return all metrics of a thing from `start` until before `end`: times and values, the oldest first."""
        return _in_order(each.all_values(thing, start, end) for each in self._each())

    def values_of(self, things: list[str], metric: str, start: float) -> dict[str, Points]:
        """Return one metric of some things since a time; each hour costs a look for each thing."""
        return _in_order(each.values_of(things, metric, start) for each in self._each())

    def alarms(self, choice: Choice, most: int, skip: int = 0) -> list[Violation]:
        """Return the alarms that are on, the newest first."""
        found = chain(*(each.alarms(choice, most + skip) for each in self._each()))
        newest = sorted(found, key=lambda each: (-each.started_at, each.thing, each.profile, each.behavior))
        return newest[skip : skip + most]

    def count_alarms(self, choice: Choice) -> int:
        """Return how many alarms are on."""
        return sum(each.count_alarms(choice) for each in self._each())

    def past(self, choice: Choice, most: int, skip: int = 0) -> list[Event]:
        """Return what happened to alarms, the newest first."""
        found = chain(*(each.past(choice, most + skip) for each in self._each()))
        return sorted(found, key=lambda each: -each.time)[skip : skip + most]

    def newest_events(self, thing: str, start: float, end: float) -> list[Event]:
        """Return a thing's newest events of a time, the oldest first."""
        found = chain(*(each.newest_events(thing, start, end) for each in self._each()))
        return sorted(found, key=lambda each: each.time)[-MOST_EVENTS_OF_A_THING:]

    def counts(self, name: str) -> dict[tuple[str, ...], float]:
        """Return what the Detects counted under a name since their databases were made, by labels."""
        found: dict[tuple[str, ...], float] = defaultdict(float)
        for labels, number in chain(*(each.counts(name).items() for each in self._each())):
            found[labels] += number
        return found

    def size(self) -> int:
        """Return how many bytes the databases have, with their logs."""
        return sum(each.size() for each in self._each())

    def _reports(self) -> Iterator[tuple[int, LastReport]]:
        """Yield the last reports of all databases, each with its database's place, by thing."""
        numbered = (zip(repeat(place), each.last_reports()) for place, each in enumerate(self._each()))
        return heapq.merge(*numbered, key=lambda each: each[1][0])

    def _left_behind(self) -> list[list[LeftBehind]]:
        """Return what each database has of things that moved, as it was some minutes ago."""
        parts, now = len(self._each()), self._clock()
        if self._compared is None or now - self._compared[0] > COMPARED_FOR or len(self._compared[1]) != parts:
            left: list[list[LeftBehind]] = [[] for _ in range(parts)]
            for name, same in groupby(self._reports(), lambda each: each[1][0]):
                for place, (_, _, accepted_at) in sorted(same, key=lambda each: each[1][2])[:-1]:
                    left[place].append(LeftBehind(name, accepted_at))
            self._compared = now, left
        return self._compared[1]

    def _without(self) -> Iterator[tuple[Summaries, frozenset[str]]]:
        """Yield the databases, each with the things that moved elsewhere."""
        for each, left in zip(self._each(), self._left_behind()):
            yield each, frozenset(moved.thing for moved in left)

    def _calm(self) -> Iterator[tuple[Summaries, frozenset[str]]]:
        """Yield the databases, each with the things that moved elsewhere or are in an alarm of another one."""
        alarmed = [each.alarmed().keys() for each in self._each()]
        for place, (each, moved) in enumerate(self._without()):
            yield each, moved.union(*alarmed[:place], *alarmed[place + 1 :])


AnySummaries = Union[Summaries, Fleet]


def summaries_of(directories: Sequence[str | Path]) -> AnySummaries:
    """Return what counts over one state directory, or over several."""
    parts = [Summaries(each) for each in directories]
    return parts[0] if len(parts) == 1 else Fleet(parts)


def _both(one: Happened, other: Happened) -> Happened:
    first, last = min(one.first, other.first), max(one.last, other.last)
    return one._replace(time=max(one.time, other.time), things=one.things + other.things, first=first, last=last)


def _in_order(parts: Iterable[dict[str, Points]]) -> dict[str, Points]:
    found: dict[str, list[Points]] = defaultdict(list)
    for each in parts:
        for name, points in each.items():
            found[name].append(points)
    return {name: list(heapq.merge(*lists, key=itemgetter(0))) for name, lists in found.items()}

"""Summaries: what is kept of a whole fleet, counted by the database, and all that is kept of one thing, in one read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from defender_detect.evaluate.alarms import Event, Violation
from defender_detect.metrics import Value
from defender_detect.store.packing import unpack_flat, unpack_values
from defender_detect.store.reader import HOUR, VALUES, Reader, Thing, Verification, decode, period_of

MOST_EVENTS_OF_A_THING = 5_000  # whose alarms are drawn; a thing that flutters has more

COUNTS = """SELECT count(accepted_at), max(accepted_at),
    (SELECT count(*) FROM states WHERE accepted_at < :silent) FROM states WHERE accepted_at IS NOT NULL"""
LONGEST_SILENT = """SELECT name, accepted_at FROM states CROSS JOIN things ON id = thing
    WHERE accepted_at IS NOT NULL AND name NOT IN (SELECT value FROM json_each(:without))
    ORDER BY accepted_at LIMIT 1"""
SILENT = """SELECT name FROM states CROSS JOIN things ON id = thing WHERE accepted_at > :start AND accepted_at < :end
    ORDER BY accepted_at"""
LATEST = """SELECT name, report_id, accepted_at FROM states JOIN things ON id = thing
    WHERE accepted_at = (SELECT max(accepted_at) FROM states)"""
ON_NOW = "SELECT profile, behavior, count(*), min(metric), min(criteria) FROM active GROUP BY profile, behavior"
CHANGES = """SELECT profile, behavior, CAST((time - :start) / :width AS INTEGER), sum(type = 'in-alarm'),
    sum(type <> 'in-alarm'), min(metric), min(criteria) FROM events WHERE time >= :start AND time < :end
    GROUP BY 1, 2, 3"""
HAPPENED = """SELECT max(time), profile, behavior, type, count(DISTINCT thing), min(thing), max(thing), min(metric)
    FROM events WHERE time >= :start AND time < :end GROUP BY CAST(time / :width AS INTEGER), profile, behavior, type
    ORDER BY 1 DESC LIMIT :most"""
ALARMED = "SELECT thing, count(*) FROM active GROUP BY thing"
STATES = """SELECT name, report_id, accepted_at FROM things CROSS JOIN states ON states.thing = id
    WHERE accepted_at IS NOT NULL ORDER BY name"""
ONE_STATE = """SELECT name, report_id, accepted_at, (SELECT count(*) FROM active WHERE active.thing = name)
    FROM things JOIN states ON states.thing = id WHERE name = ? AND accepted_at IS NOT NULL"""
QUIET = """FROM states CROSS JOIN things ON id = thing WHERE accepted_at < :silent AND {named}
    AND name NOT IN (SELECT thing FROM active) AND name NOT IN (SELECT value FROM json_each(:without))"""
WELL = """FROM things CROSS JOIN states ON thing = id WHERE accepted_at >= :silent AND {named}
    AND name NOT IN (SELECT thing FROM active) AND name NOT IN (SELECT value FROM json_each(:without))"""
NAMED = "instr(lower(name), lower(:part))"
HOW_MANY = """SELECT count(*) FROM things WHERE instr(lower(name), lower(:part)) AND name NOT LIKE '$%'
    AND name NOT IN (SELECT value FROM json_each(:without))"""  # $ is of no thing
FIRST_REPORT = "SELECT min(hour) FROM reports"
FIRST_TIME = "SELECT min(time) FROM reports WHERE hour = ?"
SOME_VALUES = """SELECT things.name, time, metrics FROM json_each(:hours) AS each
    CROSS JOIN json_each(:things) AS wanted CROSS JOIN things ON things.name = wanted.value
    CROSS JOIN reports ON hour = each.value AND thing = things.id ORDER BY time"""
ALARMS = """SELECT violation_id, thing, profile, behavior, metric, started_at, last_time, last_value, criteria, kind,
    suppressed FROM active LEFT JOIN verifications USING (violation_id) WHERE {where}
    ORDER BY started_at DESC, thing, profile, behavior LIMIT :most OFFSET :skip"""
COUNT_ALARMS = "SELECT count(*) FROM active LEFT JOIN verifications USING (violation_id) WHERE {where}"
PAST = """SELECT violation_id, thing, profile, behavior, metric, type, time, value, criteria, kind, suppressed
    FROM events LEFT JOIN (SELECT violation_id AS judged, state FROM verifications) ON judged = violation_id
    WHERE {where}
    ORDER BY events.time DESC, events.id DESC LIMIT :most OFFSET :skip"""


class Counts(NamedTuple):
    """How many things there are."""

    things: int
    latest: float | None  # when the last report was accepted, in seconds since the epoch
    silent: int


class OnNow(NamedTuple):
    """How many alarms of a behavior are on, and what is normal of it."""

    profile: str
    behavior: str
    number: int
    metric: str
    criteria: dict[str, Any]


class Change(NamedTuple):
    """How many alarms of a behavior began and ended in a stretch of time."""

    profile: str
    behavior: str
    place: int
    began: int
    ended: int
    metric: str
    criteria: dict[str, Any]


class Happened(NamedTuple):
    """What happened to one or more things in a stretch of time."""

    time: float
    profile: str
    behavior: str
    type: str
    things: int
    first: str
    last: str
    metric: str


class Choice(NamedTuple):
    """Which alarms are asked for; None for all."""

    thing: str | None = None
    profile: str | None = None
    behavior: str | None = None
    state: str | None = None  # the verification state

    @property
    def where(self) -> str:
        """The condition of a statement that has the choice as its parameters."""
        given = [f"{name} = :{name}" for name in ("thing", "profile", "behavior") if getattr(self, name) is not None]
        judged = ["coalesce(state, 'UNKNOWN') = :state"] if self.state is not None else []
        return " AND ".join([*given, *judged]) or "1"


class Summaries(Reader):
    """A reader that counts, for who looks at a fleet as a whole; `without` names things that others count."""

    @property
    def paths(self) -> list[Path]:
        """The databases: this one."""
        return [self.path]

    def count(self, silent: float) -> Counts:
        """Return how many things there are, and how many have not reported since a time."""
        with self._ask() as connection:
            things, latest, quiet = connection.execute(COUNTS, {"silent": silent}).fetchone()
        return Counts(things, latest, quiet)

    def longest_silent(self, without: Collection[str] = ()) -> tuple[str, float] | None:
        """Return the thing that has been silent for longest, and since when."""
        with self._ask() as connection:
            found = connection.execute(LONGEST_SILENT, {"without": json.dumps([*without])}).fetchone()
        return None if found is None else (found[0], found[1])

    def silent(self, start: float, end: float) -> list[str]:
        """Return the things whose last report came between two times, the longest silent first."""
        with self._ask() as connection:
            return [name for (name,) in connection.execute(SILENT, {"start": start, "end": end})]

    def last_report(self) -> tuple[str, int | None, float] | None:
        """Return the newest report of all: its thing, number and time."""
        with self._ask() as connection:
            found = connection.execute(LATEST).fetchone()
        return None if found is None else (found[0], found[1], found[2])

    def first_report(self, is_exact: bool = False) -> float | None:
        """Return when the oldest report that is kept came: its hour, or exactly, which looks at that whole hour."""
        with self._ask() as connection:
            (hour,) = connection.execute(FIRST_REPORT).fetchone()
            if hour is None or not is_exact:
                return None if hour is None else float(hour * HOUR)
            return float(connection.execute(FIRST_TIME, (hour,)).fetchone()[0])

    def on_now(self) -> list[OnNow]:
        """Return the behaviors with alarms that are on."""
        with self._ask() as connection:
            rows = connection.execute(ON_NOW).fetchall()
        return [OnNow._make((*row, json.loads(criteria))) for *row, criteria in rows]

    def changes(self, start: float, end: float, width: float) -> list[Change]:
        """Return how many alarms of each behavior began and ended in each stretch of so many seconds."""
        with self._ask() as connection:
            rows = connection.execute(CHANGES, {"start": start, "end": end, "width": width}).fetchall()
        return [Change._make((*row, json.loads(criteria))) for *row, criteria in rows]

    def happened(self, start: float, end: float, width: float, most: int) -> list[Happened]:
        """Return what happened, the newest first, what is alike in a stretch of so many seconds as one."""
        with self._ask() as connection:
            parameters = {"start": start, "end": end, "width": width, "most": most}
            return [Happened(*row) for row in connection.execute(HAPPENED, parameters).fetchall()]

    def alarmed(self) -> dict[str, int]:
        """Return the things in alarm, and how many alarms each has."""
        with self._ask() as connection:
            return dict(connection.execute(ALARMED).fetchall())

    def last_reports(self) -> Iterator[tuple[str, int | None, float]]:
        """Yield the things that reported, by name, with the last report's number and time."""
        with self._ask() as connection:
            yield from connection.execute(STATES)

    def count_named(self, part: str, without: Collection[str] = ()) -> int:
        """Return how many things have a part in their names, whether its ASCII letters are small or large."""
        with self._ask() as connection:
            return int(connection.execute(HOW_MANY, {"part": part, "without": json.dumps([*without])}).fetchone()[0])

    def count_quiet(self, part: str, silent: float, without: Collection[str] = ()) -> int:
        """Return how many things with a part in their names have been silent since a time, and are in no alarm."""
        statement = f"SELECT count(*) {QUIET.format(named=NAMED if part else 1)}"  # noqa: S608 - ours
        with self._ask() as connection:
            parameters = {"part": part, "silent": silent, "without": json.dumps([*without])}
            return int(connection.execute(statement, parameters).fetchone()[0])

    def list_quiet(
        self, part: str, silent: float, most: int, skip: int, without: Collection[str] = ()
    ) -> list[tuple[str, float]]:
        """Return a page of those things, the longest silent first, and when each reported last."""
        return self._list(QUIET, "accepted_at", without, {"part": part, "silent": silent, "most": most, "skip": skip})

    def list_well(
        self, part: str, silent: float, most: int, skip: int, without: Collection[str] = ()
    ) -> list[tuple[str, float]]:
        """Return a page of the things that are neither silent nor in alarm, by name, and when each reported last."""
        return self._list(WELL, "name", without, {"part": part, "silent": silent, "most": most, "skip": skip})

    def _list(
        self, which: str, order: str, without: Collection[str], parameters: dict[str, Any]
    ) -> list[tuple[str, float]]:
        named, parameters = NAMED if parameters["part"] else 1, {**parameters, "without": json.dumps([*without])}
        statement = f"SELECT name, accepted_at {which.format(named=named)} ORDER BY {order} LIMIT :most OFFSET :skip"
        with self._ask() as connection:
            return connection.execute(statement, parameters).fetchall()

    def thing(self, name: str) -> Thing | None:
        """Return what is known of a thing, None if it never reported."""
        with self._ask() as connection:
            row = connection.execute(ONE_STATE, (name,)).fetchone()
        return None if row is None else Thing(*row)

    def all_values(self, thing: str, start: float, end: float) -> dict[str, list[tuple[float, Value]]]:
        """Return all metrics of a thing from `start` until before `end`: times and values, the oldest first."""
        with self._ask() as connection:
            names = dict(connection.execute("SELECT id, name FROM metrics").fetchall())
            rows = connection.execute(VALUES, {"thing": thing, **period_of(start, end)}).fetchall()
        found: dict[int, list[tuple[float, Value]]] = defaultdict(list)
        for time, packed in rows:
            flat = unpack_flat(packed)
            for number, value in zip(flat[::2], flat[1::2]):
                found[number].append((time, tuple(value) if type(value) is list else value))
        return {names[number]: values for number, values in found.items()}

    def values_of(self, things: list[str], metric: str, start: float) -> dict[str, list[tuple[float, Value]]]:
        """Return one metric of some things since a time; each hour costs a look for each thing."""
        found: dict[str, list[tuple[float, Value]]] = {name: [] for name in things}
        with self._ask() as connection:
            number = connection.execute("SELECT id FROM metrics WHERE name = ?", (metric,)).fetchone()
            newest = connection.execute("SELECT max(hour) FROM reports").fetchone()[0]
            if number is None or newest is None:
                return found
            hours = json.dumps([*range(int(start // HOUR), newest + 1)])
            rows = connection.execute(SOME_VALUES, {"hours": hours, "things": json.dumps(things)}).fetchall()
        for name, time, packed in rows:
            found[name] += [(time, value) for key, value in unpack_values(packed) if key == number[0] and time >= start]
        return found

    def alarms(self, choice: Choice, most: int, skip: int = 0) -> list[Violation]:
        """Return the alarms that are on, the newest first."""
        parameters = {**choice._asdict(), "most": most, "skip": skip}
        with self._ask() as connection:
            rows = connection.execute(ALARMS.format(where=choice.where), parameters).fetchall()
        return [Violation(*decode(row)) for row in rows]

    def count_alarms(self, choice: Choice) -> int:
        """Return how many alarms are on."""
        with self._ask() as connection:
            return int(connection.execute(COUNT_ALARMS.format(where=choice.where), choice._asdict()).fetchone()[0])

    def past(self, choice: Choice, most: int, skip: int = 0) -> list[Event]:
        """Return what happened to alarms, the newest first."""
        parameters = {**choice._asdict(), "most": most, "skip": skip}
        with self._ask() as connection:
            rows = connection.execute(PAST.format(where=choice.where), parameters).fetchall()
        return [Event(*decode(row)) for row in rows]

    def newest_events(self, thing: str, start: float, end: float) -> list[Event]:
        """Return a thing's newest events of a time, the oldest first."""
        statement = PAST.format(where="thing = :thing AND events.time >= :start AND events.time < :end")
        parameters = {"thing": thing, "start": start, "end": end, "most": MOST_EVENTS_OF_A_THING, "skip": 0}
        with self._ask() as connection:
            rows = connection.execute(statement, parameters).fetchall()
        return [Event(*decode(row)) for row in reversed(rows)]

    def verdict(self, violation_id: str) -> Verification | None:
        """Return what a person found a violation to be."""
        return self.verifications([violation_id]).get(violation_id)

    def size(self) -> int:
        """Return how many bytes the database has, with its log."""
        log = self.path.with_name(f"{self.path.name}-wal")
        return sum(each.stat().st_size for each in (self.path, log) if each.exists())

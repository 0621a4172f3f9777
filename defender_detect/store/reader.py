"""The reader: answers questions about what Detect keeps, from any process and while Detect runs."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from defender_detect.errors import StoreError
from defender_detect.evaluate.alarms import Event, Violation
from defender_detect.metrics import Value
from defender_detect.store.packing import unpack_value, unpack_values
from defender_detect.store.schema import DATABASE, PATIENCE, check_is_current, is_damage

HOUR = 3600  # seconds
MOVE_AWAY = "; stop Detect, move the database away, and start Detect, which makes a new one"

PAGE = (
    1_000  # rows that are read at once: a question about a million things neither fills the memory nor holds up Detect
)
NEIGHBORS = 500  # names on either side of one that is not there

# A statement that is read in pages begins with the columns of its order; :key0 and so on are those of the last row.
THINGS = """SELECT name, name, report_id, accepted_at, (SELECT count(*) FROM active WHERE active.thing = name)
    FROM things CROSS JOIN states ON states.thing = id WHERE name > :key0 AND accepted_at IS NOT NULL
    ORDER BY name LIMIT :page"""
KNOWN = "SELECT 1 FROM things JOIN states ON states.thing = id WHERE name = ? AND accepted_at IS NOT NULL"
BEFORE = (
    "SELECT name FROM things JOIN states ON thing = id WHERE name < ? AND accepted_at IS NOT NULL ORDER BY name DESC"
)
STATES = """SELECT name, report_id, accepted_at, state FROM things JOIN states ON states.thing = id
    ORDER BY accepted_at"""
VALUES = """WITH RECURSIVE hours (hour) AS (
        SELECT min(hour) FROM reports WHERE hour >= :first
        UNION ALL SELECT (SELECT min(hour) FROM reports WHERE hour > hours.hour) FROM hours WHERE hour < :last)
    SELECT time, metrics FROM hours CROSS JOIN reports USING (hour)
    WHERE thing = (SELECT id FROM things WHERE name = :thing) AND time >= :start AND time < :end ORDER BY time"""
OBSERVED = """SELECT hour, thing, time, time, (SELECT name FROM things WHERE id = thing), metrics FROM reports
    WHERE hour >= :key0 AND (hour, thing, time) > (:key0, :key1, :key2) AND time >= :start AND time < :end
    ORDER BY hour, thing, time LIMIT :page"""
EVENTS = """SELECT time, id, violation_id, thing, profile, behavior, metric, type, time, value, criteria, kind,
    suppressed FROM events WHERE time >= :key0 AND (time > :key0 OR id > :key1) AND time < :end {chosen}
    ORDER BY time, id LIMIT :page"""
VERIFICATIONS = """SELECT violation_id, state, description, time FROM json_each(?)
    CROSS JOIN verifications ON violation_id = value"""
ACTIVE = """SELECT started_at, thing, profile, behavior, violation_id, thing, profile, behavior, metric, started_at,
    last_time, last_value, criteria, kind, suppressed FROM active WHERE started_at >= :key0
    AND (started_at, thing, profile, behavior) > (:key0, :key1, :key2, :key3) {chosen}
    ORDER BY started_at, thing, profile, behavior LIMIT :page"""


class Thing(NamedTuple):
    """A thing that reported, and how many of its alarms are on."""

    name: str
    report_id: int | None
    accepted_at: float | None
    active_violations: int


class Verification(NamedTuple):
    """What a person found a violation to be."""

    state: str
    description: str
    time: float


class ThingState(NamedTuple):
    """What a restart goes on with: a thing's last accepted report, and its alarms and histories as they were given."""

    thing: str
    report_id: int | None
    accepted_at: float | None
    state: bytes | None


class Reader:
    """Asks the database of a state directory by short reads, a long answer page by page, so that none holds up Detect.

    All raise StoreError if there is no database to be read.
    """

    def __init__(self, directory: str | Path) -> None:
        self.path = Path(directory) / DATABASE

    def check(self) -> None:
        """Raise StoreError if there is no database to be read."""
        with self._ask():
            pass

    def load_states(self) -> Iterator[ThingState]:
        """Return every thing's last accepted report and state, the longest silent first."""
        with self._ask() as connection:
            yield from map(ThingState._make, connection.execute(STATES))

    def things(self, after: str = "") -> Iterator[Thing]:
        """Yield the things that reported, by name, from behind a name."""
        return map(Thing._make, self._read(THINGS, (after,)))

    def knows(self, thing: str) -> bool:
        """Whether a thing has reported."""
        with self._ask() as connection:
            return connection.execute(KNOWN, (thing,)).fetchone() is not None

    def neighbors(self, thing: str) -> list[str]:
        """Return the names of the things around a name, as many as can be a slip of the pen for it; all of a few."""
        with self._ask() as connection:
            before = connection.execute(f"{BEFORE} LIMIT ?", (thing, NEIGHBORS)).fetchall()
        after = [each.name for each in islice(self.things(thing), 2 * NEIGHBORS - len(before))]
        return [*(name for (name,) in reversed(before)), *after]

    def values(self, thing: str, metric: str, start: float, end: float) -> list[tuple[float, Value]]:
        """Return the times and values of a thing's metric from `start` until before `end`, the oldest first."""
        with self._ask() as connection:
            found = connection.execute("SELECT id FROM metrics WHERE name = ?", (metric,)).fetchone()
            if found is None:
                return []
            rows = connection.execute(VALUES, {"thing": thing, **period_of(start, end)}).fetchall()
        return [(time, value) for time, packed in rows for number, value in unpack_values(packed) if number == found[0]]

    def observed(self, start: float, end: float) -> Iterator[tuple[float, str, dict[str, Value]]]:
        """Yield times, things and values of all reports from `start` until before `end`; a thing's are in order."""
        with self._ask() as connection:
            names = dict(connection.execute("SELECT id, name FROM metrics").fetchall())
        first = int(start // HOUR)
        for time, thing, packed in self._read(OBSERVED, (first, -1, 0.0), start=start, end=end):
            yield time, thing, {names[number]: value for number, value in unpack_values(packed) if number in names}

    def metrics(self, thing: str) -> list[str]:
        """Return the names of the metrics in the thing's last report that is kept."""
        with self._ask() as connection:
            name = connection.execute(
                "SELECT accepted_at FROM states JOIN things ON id = thing WHERE name = ?", (thing,)
            )
            (last,) = name.fetchone() or (None,)
            if last is None:
                return []
            rows = connection.execute(VALUES, {"thing": thing, **period_of(last - HOUR, last + 1)}).fetchall()
            names = dict(connection.execute("SELECT id, name FROM metrics").fetchall())
        return sorted(names[number] for number, _ in unpack_values(rows[-1][1])) if rows else []

    def events(self, start: float, end: float, thing: str | None = None, profile: str | None = None) -> Iterator[Event]:
        """Yield the violation events from `start` until before `end`, the oldest first."""
        for row in self._read(EVENTS, (start, -1), thing=thing, profile=profile, end=end):
            yield Event(*decode(row))

    def active(self, thing: str | None = None, profile: str | None = None) -> Iterator[Violation]:
        """Yield the alarms that are on, the oldest first."""
        for row in self._read(ACTIVE, (-math.inf, "", "", ""), thing=thing, profile=profile):
            yield Violation(*decode(row))

    def verifications(self, violation_ids: Iterable[str]) -> dict[str, Verification]:
        """Return what people found of those violations that somebody judged."""
        ids = list(violation_ids)
        found: dict[str, Verification] = {}
        with self._ask() as connection:
            for start in range(0, len(ids), PAGE):
                wanted = json.dumps(ids[start : start + PAGE])
                rows = connection.execute(VERIFICATIONS, (wanted,)).fetchall()
                found.update((name, Verification(*row)) for name, *row in rows)
        return found

    def counts(self, name: str) -> dict[tuple[str, ...], float]:
        """Return what Detect counted under a name since the database was made, by labels."""
        with self._ask() as connection:
            rows = connection.execute("SELECT labels, value FROM counts WHERE name = ?", (name,)).fetchall()
        return {tuple(json.loads(labels)): value for labels, value in rows}

    def _read(
        self, statement: str, key: tuple[Any, ...], thing: str | None = None, profile: str | None = None, **more: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows from behind a key, without it, of a thing and a profile if given, page by page."""
        chosen = {"thing": thing, "profile": profile}
        conditions = "".join(f"AND {name} = :{name} " for name, value in chosen.items() if value is not None)
        parameters, rows = {**chosen, **more, "page": PAGE}, [key]
        while True:
            parameters.update((f"key{place}", value) for place, value in enumerate(rows[-1][: len(key)]))
            with self._ask() as connection:
                rows = connection.execute(statement.format(chosen=conditions), parameters).fetchall()
            yield from (row[len(key) :] for row in rows)
            if len(rows) < PAGE:
                return

    @contextlib.contextmanager
    def _ask(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(self._open()) as connection:
                check_is_current(connection, self.path)
                yield connection
        except sqlite3.Error as error:
            advice = MOVE_AWAY if is_damage(error) else ""
            raise StoreError(f"the database {self.path} cannot be read: {error}{advice}") from error

    def _open(self) -> sqlite3.Connection:
        try:
            if not self.path.exists():
                raise StoreError(
                    f"nothing is kept in {self.path.parent}: amazon-defender-detect has not run with it yet"
                )
        except PermissionError:
            raise StoreError(
                f"{self.path.parent} may not be looked into: ask as the user that Detect runs as"
            ) from None
        return sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True, timeout=PATIENCE)


def decode(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Decode the last four columns of an event or a violation: value, criteria, kind and suppressed."""
    *plain, value, criteria, kind, is_suppressed = row
    return (*plain, unpack_value(value), msgspec.json.decode(criteria), kind, bool(is_suppressed))


def period_of(start: float, end: float) -> dict[str, float]:
    return {"start": start, "end": end, "first": int(start // HOUR), "last": int(end // HOUR)}

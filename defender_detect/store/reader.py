"""The reader: answers questions about what Detect keeps, from any process and while Detect runs."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from defender_detect.errors import StoreError
from defender_detect.evaluate.alarms import Event, Violation
from defender_detect.metrics import Value
from defender_detect.store.packing import unpack_value, unpack_values
from defender_detect.store.schema import DATABASE, PATIENCE, check_version

HOUR = 3600  # seconds

THINGS = """SELECT name, report_id, accepted_at, (SELECT count(*) FROM active WHERE active.thing = name)
    FROM things JOIN states ON states.thing = id WHERE accepted_at IS NOT NULL ORDER BY name"""
STATES = """SELECT name, report_id, accepted_at, state FROM things JOIN states ON states.thing = id
    ORDER BY accepted_at"""
VALUES = """WITH RECURSIVE hours (hour) AS (
        SELECT min(hour) FROM reports WHERE hour >= :first
        UNION ALL SELECT (SELECT min(hour) FROM reports WHERE hour > hours.hour) FROM hours WHERE hour < :last)
    SELECT time, metrics FROM hours CROSS JOIN reports USING (hour)
    WHERE thing = (SELECT id FROM things WHERE name = :thing) AND time >= :start AND time < :end ORDER BY time"""
EVENTS = """SELECT violation_id, thing, profile, behavior, metric, type, time, value, criteria, kind, suppressed
    FROM events WHERE time >= :start AND time < :end AND (:thing IS NULL OR thing = :thing)
    AND (:profile IS NULL OR profile = :profile) ORDER BY time, id"""
ACTIVE = """SELECT violation_id, thing, profile, behavior, metric, started_at, last_time, last_value, criteria, kind,
    suppressed FROM active ORDER BY started_at, thing, profile, behavior"""


class Thing(NamedTuple):
    """A thing that reported, and how many of its alarms are on."""

    name: str
    report_id: int | None
    accepted_at: float | None
    active_violations: int


class ThingState(NamedTuple):
    """What a restart goes on with: a thing's last accepted report, and its alarms and histories as they were given."""

    thing: str
    report_id: int | None
    accepted_at: float | None
    state: bytes | None


class Reader:
    """Asks the database of a state directory; each question is a short read of its own, so that none holds up Detect.

    All raise StoreError if there is no database to be read.
    """

    def __init__(self, directory: str | Path) -> None:
        self.path = Path(directory) / DATABASE

    def load_states(self) -> Iterator[ThingState]:
        """Return every thing's last accepted report and state, the longest silent first."""
        with self._ask() as connection:
            yield from map(ThingState._make, connection.execute(STATES))

    def things(self) -> list[Thing]:
        """Return the things that reported, by name."""
        with self._ask() as connection:
            return list(map(Thing._make, connection.execute(THINGS)))

    def values(self, thing: str, metric: str, start: float, end: float) -> list[tuple[float, Value]]:
        """Return the times and values of a thing's metric from `start` until before `end`, the oldest first."""
        with self._ask() as connection:
            found = connection.execute("SELECT id FROM metrics WHERE name = ?", (metric,)).fetchone()
            if found is None:
                return []
            rows = connection.execute(VALUES, {"thing": thing, **_period(start, end)}).fetchall()
        return [(time, value) for time, packed in rows for number, value in unpack_values(packed) if number == found[0]]

    def metrics(self, thing: str) -> list[str]:
        """Return the names of the metrics in the thing's last report that is kept."""
        with self._ask() as connection:
            name = connection.execute(
                "SELECT accepted_at FROM states JOIN things ON id = thing WHERE name = ?", (thing,)
            )
            (last,) = name.fetchone() or (None,)
            if last is None:
                return []
            rows = connection.execute(VALUES, {"thing": thing, **_period(last - HOUR, last + 1)}).fetchall()
            names = dict(connection.execute("SELECT id, name FROM metrics").fetchall())
        return sorted(names[number] for number, _ in unpack_values(rows[-1][1])) if rows else []

    def events(self, start: float, end: float, thing: str | None = None, profile: str | None = None) -> list[Event]:
        """Return the violation events from `start` until before `end`, the oldest first."""
        with self._ask() as connection:
            parameters = {"start": start, "end": end, "thing": thing, "profile": profile}
            rows = connection.execute(EVENTS, parameters).fetchall()
        return [Event(*_decode(row)) for row in rows]

    def active(self) -> list[Violation]:
        """Return the alarms that are on, the oldest first."""
        with self._ask() as connection:
            rows = connection.execute(ACTIVE).fetchall()
        return [Violation(*_decode(row)) for row in rows]

    @contextlib.contextmanager
    def _ask(self) -> Iterator[sqlite3.Connection]:
        try:
            with contextlib.closing(self._open()) as connection:
                if not check_version(connection, self.path):
                    raise StoreError(f"the database {self.path} is empty")
                yield connection
        except sqlite3.Error as error:
            raise StoreError(f"the database {self.path} cannot be read: {error}") from error

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


def _decode(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Decode the last four columns of an event or a violation: value, criteria, kind and suppressed."""
    *plain, value, criteria, kind, is_suppressed = row
    return (*plain, unpack_value(value), msgspec.json.decode(criteria), kind, bool(is_suppressed))


def _period(start: float, end: float) -> dict[str, float]:
    return {"start": start, "end": end, "first": int(start // HOUR), "last": int(end // HOUR)}

"""The writer: puts batches into the database, each in one transaction, which is there whole or not at all."""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from defender_detect.store.batch import Batch, Count, Latest, Report
from defender_detect.store.packing import LARGEST_INTEGER, Packer, pack_value
from defender_detect.store.pruning import Limits, Pruning, count_bytes, make_room, prune, say_what_was_removed
from defender_detect.store.schema import open_database, transaction

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event
    from defender_detect.metrics import Value

HOUR = 3600  # seconds
SAY_EVERY = 3600.0  # seconds between two lines about the same
IN_ALARM = "in-alarm"
MOST_NUMBERS = 200_000  # names whose numbers are remembered; about 30 MB. To look another one up takes 1 to 4 µs
MOST_METRICS = 10_000  # different names that are kept; AWS takes 100 custom metrics for an account
MOST_VARIABLES = 960  # in a statement; SQLite before 3.32 takes 999
ROWS = "{rows}"  # where the rows go in a statement, each as (?, ?, ...)

ADD_REPORTS = "INSERT OR REPLACE INTO reports VALUES {rows}"
ADD_STATES = """INSERT INTO states VALUES {rows} ON CONFLICT (thing) DO UPDATE SET
    report_id = coalesce(excluded.report_id, report_id),
    accepted_at = coalesce(excluded.accepted_at, accepted_at), state = coalesce(excluded.state, state)"""
ADD_EVENTS = """INSERT INTO events (time, thing, profile, behavior, metric, type, violation_id, value, criteria, kind,
    suppressed) VALUES {rows}"""
BEGIN_VIOLATIONS = """INSERT OR REPLACE INTO active (started_at, last_time, thing, profile, behavior, metric,
    violation_id, last_value, criteria, kind, suppressed) VALUES {rows}"""
END_VIOLATIONS = "DELETE FROM active WHERE (thing, profile, behavior) IN (VALUES {rows})"
CONTINUE_VIOLATIONS = """WITH new (id, time, value) AS (VALUES {rows}) UPDATE active
    SET (last_time, last_value) = (SELECT time, value FROM new WHERE id = violation_id)
    WHERE violation_id IN (SELECT id FROM new)"""
ADD_COUNTS = """INSERT INTO counts VALUES {rows} ON CONFLICT (name, labels) DO UPDATE SET
    value = value + excluded.value"""
SET_LEVELS = "INSERT OR REPLACE INTO counts VALUES {rows}"
ADD_THINGS = "INSERT OR IGNORE INTO things (name) VALUES {rows}"
FIND_THINGS = "SELECT json_group_object(name, id) FROM things WHERE name IN ({rows})"
ADD_METRICS = "INSERT OR IGNORE INTO metrics (name) VALUES {rows}"
FIND_METRICS = "SELECT json_group_object(name, id) FROM metrics WHERE name IN ({rows})"

log = logging.getLogger(__name__)


class Writer:
    """The one connection that writes; not to be used by two threads at once."""

    def __init__(self, path: Path) -> None:
        """Open the database, or make it; raises StoreError if that cannot be."""
        self._connection = open_database(path)
        self._things: dict[str, int] = {}
        self._packer = Packer()
        self._limits: Limits | None = None
        self._pruning: Pruning | None = None
        self._making_room: Pruning | None = None
        self._said_at = -math.inf  # of the monotonic clock: that room was made
        self._has_complained = False

    def write(self, batch: Batch) -> None:
        """Write a batch; after an sqlite3.Error nothing of it is there."""
        try:
            with transaction(self._connection):
                self._number_things(dict.fromkeys([*batch.latest, *(report.thing for report in batch.reports)]))
                self._number_metrics(set[str]().union(*{tuple(report.values) for report in batch.reports}))
                self._add_reports(batch.reports)
                self._add_states(batch.latest)
                self._add_events(batch.events)
                self._add_lasting(batch.lasting)
                self._add_counts(batch)
        except BaseException:
            self._forget_numbers()  # some may be of names that are not there after the rollback
            raise

    def start_pruning(self, limits: Limits) -> None:
        """Begin to remove what is too old; an earlier round that is not at its end is given up."""
        self._limits, self._pruning = limits, prune(self._connection, limits)

    def prune_a_step(self) -> bool:
        """Remove a little of what does not fit or is too old, and return whether there may be more."""
        if self._limits is not None and self._make_a_little_room(self._limits.most_bytes):
            return True
        if self._pruning is None:
            return False
        are_things_gone = next(self._pruning, None)
        if are_things_gone is None:
            self._pruning = None
        elif are_things_gone:
            self._forget_numbers()
        return self._pruning is not None

    def _make_a_little_room(self, most_bytes: float) -> bool:
        if self._making_room is None:
            if count_bytes(self._connection) <= most_bytes:
                return False
            self._making_room = make_room(self._connection, most_bytes)
        if next(self._making_room, None) is None:
            self._making_room = None
            if time.monotonic() >= self._said_at + SAY_EVERY:
                self._said_at = time.monotonic()
                say_what_was_removed(self._connection, most_bytes)
        return self._making_room is not None

    def close(self) -> None:
        """Close the database."""
        self._pruning = self._making_room = None
        self._connection.close()

    def _add_reports(self, reports: Iterable[Report]) -> None:
        rows = (
            (int(time // HOUR), self._things[thing], time, self._packer.pack(values)) for thing, time, values in reports
        )
        execute_bulk(self._connection, ADD_REPORTS, rows)

    def _add_states(self, latest: Mapping[str, Latest]) -> None:
        rows = (
            (self._things[thing], None if report_id is None else min(report_id, LARGEST_INTEGER), accepted_at, state)
            for thing, (report_id, accepted_at, state) in latest.items()
        )
        execute_bulk(self._connection, ADD_STATES, rows)

    def _add_events(self, events: Iterable[Event]) -> None:
        rows = [(event, event_columns(event)) for event in events]
        execute_bulk(self._connection, ADD_EVENTS, ((event.time, *columns) for event, columns in rows))
        newest = {columns[:3]: (event, columns) for event, columns in rows}  # of each behavior of each thing
        ended = (key for key, (event, _) in newest.items() if event.type != IN_ALARM)
        execute_bulk(self._connection, END_VIOLATIONS, ended)
        begun = (
            (event.time, event.time, *columns[:4], *columns[5:])
            for event, columns in newest.values()
            if event.type == IN_ALARM
        )
        execute_bulk(self._connection, BEGIN_VIOLATIONS, begun)

    def _add_lasting(self, lasting: Mapping[str, tuple[float, Value | None]]) -> None:
        rows = ((name, time, pack_value(value)) for name, (time, value) in lasting.items())
        execute_bulk(self._connection, CONTINUE_VIOLATIONS, rows)

    def _add_counts(self, batch: Batch) -> None:
        happened = Counter(Count(event.type, (event.profile, event.behavior)) for event in batch.events)
        execute_bulk(self._connection, ADD_COUNTS, count_rows([*happened.items(), *batch.counts.items()]))
        execute_bulk(self._connection, SET_LEVELS, count_rows(batch.levels.items()))

    def _number_things(self, names: Collection[str]) -> None:
        if len(self._things) + len(names) > MOST_NUMBERS:
            self._things.clear()
        new = [name for name in names if name not in self._things]
        self._things.update(self._number(ADD_THINGS, FIND_THINGS, new))

    def _number_metrics(self, names: set[str]) -> None:
        numbers = self._packer.numbers
        new = sorted(name for name in names if name not in numbers)
        room = max(0, MOST_METRICS - len(numbers))
        numbers.update(self._number(ADD_METRICS, FIND_METRICS, new[:room]))
        if len(new) > room and not self._has_complained:
            self._has_complained = True
            log.warning("more than %d different metrics: others, such as %a, are not kept", MOST_METRICS, new[room])

    def _number(self, add: str, find: str, names: list[str]) -> dict[str, int]:
        """Return the numbers of names; those that are new get one in this order, which is that of their reports."""
        found = find_numbers(self._connection, find, names)
        missing = [name for name in names if name not in found]
        execute_bulk(self._connection, add, ([name] for name in missing))
        return {**found, **find_numbers(self._connection, find, missing)}

    def _forget_numbers(self) -> None:
        self._things.clear()
        self._packer.forget()


def event_columns(event: Event) -> tuple[Any, ...]:
    """Return what is kept of an event, but for its time."""
    value, criteria = pack_value(event.value), msgspec.json.encode(event.criteria).decode()
    of = (event.thing, event.profile, event.behavior)
    return (*of, event.metric, event.type, event.violation_id, value, criteria, event.kind, event.suppressed)


def count_rows(counts: Iterable[tuple[Count, float]]) -> Iterable[tuple[str, str, float]]:
    """Return the rows of what was counted."""
    return ((name, msgspec.json.encode(labels).decode(), value) for (name, labels), value in counts)


def execute_bulk(connection: sqlite3.Connection, statement: str, rows: Iterable[Sequence[Any]]) -> None:
    """Execute a statement with all rows, which have the same number of columns, in as few steps as can be.

    Each step gives the interpreter's lock away, and a thread that computes keeps it for 5 ms: row by row, a batch took
    seconds beside one.
    """
    waiting = list(rows)
    if not waiting:
        return
    row = f"({', '.join('?' * len(waiting[0]))})"
    most = MOST_VARIABLES // len(waiting[0])
    for start in range(0, len(waiting), most):
        chunk = waiting[start : start + most]
        connection.execute(statement.replace(ROWS, ", ".join([row] * len(chunk))), list(chain.from_iterable(chunk)))


def find_numbers(connection: sqlite3.Connection, statement: str, names: Sequence[str]) -> dict[str, int]:
    """Return the numbers of names by a statement whose one row is a JSON object of both."""
    found: dict[str, int] = {}
    for start in range(0, len(names), MOST_VARIABLES):
        chunk = names[start : start + MOST_VARIABLES]
        (text,) = connection.execute(statement.replace(ROWS, ", ".join("?" * len(chunk))), chunk).fetchone()
        found.update(json.loads(text))
    return found

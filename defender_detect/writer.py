"""The writer: puts batches into the database, each in one transaction, which is there whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from defender_detect.batch import Batch
from defender_detect.packing import pack_value, pack_values
from defender_detect.pruning import Cutoffs, Pruning, prune
from defender_detect.schema import open_database, transaction

if TYPE_CHECKING:
    from defender_detect.alarms import Event

HOUR = 3600  # seconds
MOST_NUMBERS = 200_000  # names whose numbers are remembered; about 30 MB
MOST_METRICS = 10_000  # different names that are kept; AWS takes 100 custom metrics for an account

ADD_REPORT = "INSERT OR REPLACE INTO reports VALUES (?, ?, ?, ?)"
ADD_STATE = """INSERT INTO states VALUES (?, ?, ?, ?) ON CONFLICT (thing) DO UPDATE SET
    report_id = coalesce(excluded.report_id, report_id),
    accepted_at = coalesce(excluded.accepted_at, accepted_at), state = coalesce(excluded.state, state)"""
ADD_EVENT = "INSERT INTO events VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
BEGIN_VIOLATION = "INSERT OR REPLACE INTO active VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
END_VIOLATION = "DELETE FROM active WHERE thing = ? AND profile = ? AND behavior = ?"
LAST = "UPDATE active SET last_time = ?, last_value = ? WHERE violation_id = ?"
ADD_THING, FIND_THING = "INSERT OR IGNORE INTO things (name) VALUES (?)", "SELECT id FROM things WHERE name = ?"
ADD_METRIC, FIND_METRIC = "INSERT OR IGNORE INTO metrics (name) VALUES (?)", "SELECT id FROM metrics WHERE name = ?"

log = logging.getLogger(__name__)


class Writer:
    """The one connection that writes; not to be used by two threads at once."""

    def __init__(self, path: Path) -> None:
        """Open the database, or make it; raises StoreError if that can not be."""
        self._connection = open_database(path)
        self._things: dict[str, int] = {}
        self._metrics: dict[str, int] = {}
        self._pruning: Pruning | None = None
        self._has_complained = False

    def write(self, batch: Batch) -> None:
        """Write a batch; after an sqlite3.Error nothing of it is there."""
        try:
            with transaction(self._connection):
                self._number_things({*batch.latest, *(report.thing for report in batch.reports)})
                self._number_metrics({metric for report in batch.reports for metric in report.values})
                self._add_reports(batch)
                self._add_states(batch)
                self._add_events(batch.events)
                self._add_lasting(batch)
        except BaseException:
            self._forget_numbers()  # some may be of names that are not there after the rollback
            raise

    def start_pruning(self, cutoffs: Cutoffs) -> None:
        """Begin to remove what is too old; an earlier round that is not at its end is given up."""
        self._pruning = prune(self._connection, cutoffs)

    def prune_a_step(self) -> bool:
        """Remove a little of what is too old, and return whether there may be more."""
        if self._pruning is None:
            return False
        are_things_gone = next(self._pruning, None)
        if are_things_gone is None:
            self._pruning = None
        elif are_things_gone:
            self._forget_numbers()
        return self._pruning is not None

    def close(self) -> None:
        """Close the database."""
        self._pruning = None
        self._connection.close()

    def _add_reports(self, batch: Batch) -> None:
        rows = (
            (int(time // HOUR), self._things[thing], time, pack_values(values, self._metrics))
            for thing, time, values in batch.reports
        )
        self._connection.executemany(ADD_REPORT, rows)

    def _add_states(self, batch: Batch) -> None:
        rows = ((self._things[thing], *latest) for thing, latest in batch.latest.items())
        self._connection.executemany(ADD_STATE, rows)

    def _add_events(self, events: Iterable[Event]) -> None:
        for event in events:
            of = (event.thing, event.profile, event.behavior)
            value, criteria = pack_value(event.value), msgspec.json.encode(event.criteria).decode()
            what = (*of, event.metric, event.type, event.violation_id, value, criteria, event.kind, event.suppressed)
            self._connection.execute(ADD_EVENT, (event.time, *what))
            if event.type == "in-alarm":
                row = (event.violation_id, *of, event.metric, criteria, event.kind, event.suppressed)
                self._connection.execute(BEGIN_VIOLATION, (*row, event.time, event.time, value))
            else:
                self._connection.execute(END_VIOLATION, of)

    def _add_lasting(self, batch: Batch) -> None:
        rows = ((time, pack_value(value), name) for name, (time, value) in batch.lasting.items())
        self._connection.executemany(LAST, rows)

    def _number_things(self, names: set[str]) -> None:
        if len(self._things) + len(names) > MOST_NUMBERS:
            self._things.clear()
        for name in [name for name in names if name not in self._things]:
            self._things[name] = self._number(ADD_THING, FIND_THING, name)

    def _number_metrics(self, names: set[str]) -> None:
        for name in [name for name in names if name not in self._metrics]:
            if len(self._metrics) < MOST_METRICS:
                self._metrics[name] = self._number(ADD_METRIC, FIND_METRIC, name)
            elif not self._has_complained:
                self._has_complained = True
                log.warning(
                    "more than %d different metrics: further ones, such as %a, are not kept", MOST_METRICS, name
                )

    def _number(self, add: str, find: str, name: str) -> int:
        found = self._connection.execute(find, (name,)).fetchone()
        if found is None:
            self._connection.execute(add, (name,))
            found = self._connection.execute(find, (name,)).fetchone()
        return int(found[0])

    def _forget_numbers(self) -> None:
        self._things.clear()
        self._metrics.clear()

"""Pruning: removing what is older than it is kept, in steps so small that nothing waits for one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from defender_detect.store.schema import transaction

STEP = 5_000  # rows, some 30 ms; one step each half second removes three times what 3,500 reports a second add
HOUR = 3600  # seconds

Pruning = Iterator[bool]  # of steps; True if numbers of things are no longer valid

PRUNE_REPORTS = """DELETE FROM reports WHERE (hour, thing, time) IN
    (SELECT hour, thing, time FROM reports WHERE hour < ? ORDER BY hour, thing, time LIMIT ?)"""
PRUNE_EVENTS = "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE time < ? ORDER BY time LIMIT ?)"
SILENT = "SELECT thing FROM states WHERE thing > ? AND thing <= ? AND coalesce(accepted_at, 0) < ?"
FORGET = (
    "DELETE FROM active WHERE thing = (SELECT name FROM things WHERE id = ?)",
    "DELETE FROM states WHERE thing = ?",
    "DELETE FROM things WHERE id = ?",
)


class Cutoffs(NamedTuple):
    """The times before which values and events are removed, in seconds since the epoch."""

    values: float
    events: float


def prune(connection: sqlite3.Connection, cutoffs: Cutoffs) -> Pruning:
    """Remove what is too old; each step is a transaction of its own. An hour of reports leaves as a whole."""
    while connection.execute(PRUNE_REPORTS, (int(cutoffs.values // HOUR), STEP)).rowcount == STEP:
        yield False
    yield False
    while connection.execute(PRUNE_EVENTS, (cutoffs.events, STEP)).rowcount == STEP:
        yield False
    yield False
    yield from prune_things(connection, cutoffs.values)


def prune_things(connection: sqlite3.Connection, cutoff: float) -> Pruning:
    """Remove the things that have been silent so long that nothing is left of their reports."""
    (last,) = connection.execute("SELECT coalesce(max(thing), 0) FROM states").fetchone()
    for start in range(0, last, STEP):
        silent = connection.execute(SILENT, (start, start + STEP, cutoff)).fetchall()
        if silent:
            with transaction(connection):
                for statement in FORGET:
                    connection.executemany(statement, silent)
        yield bool(silent)

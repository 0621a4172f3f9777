"""Pruning: removing what is older than it is kept, or does not fit, in steps so small that nothing waits for one."""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import time
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from defender_detect.store.schema import transaction

STEP = 5_000  # rows, some 30 ms
STEP_BYTES = 16_000_000  # of values or events: of the longest there are, 118 KB each, 5,000 would take seconds
ROOM = 0.05  # of the most bytes, that is made at once, so that it is not made for every row
HOUR = 3600  # seconds

Pruning = Iterator[bool]  # of steps; True if numbers of things are no longer valid

REPORTS = "FROM reports WHERE hour < ? ORDER BY hour, thing, time LIMIT ?"
EVENTS = "FROM events WHERE time < ? AND violation_id NOT IN (SELECT violation_id FROM active) ORDER BY time LIMIT ?"
SIZES_OF_REPORTS = f"SELECT json_group_array(size) FROM (SELECT length(metrics) AS size {REPORTS})"  # noqa: S608 - ours
SIZES_OF_EVENTS = f"SELECT json_group_array(size) FROM (SELECT length(value) + length(criteria) AS size {EVENTS})"  # noqa: S608
PRUNE_REPORTS = f"DELETE FROM reports WHERE (hour, thing, time) IN (SELECT hour, thing, time {REPORTS})"  # noqa: S608
PRUNE_EVENTS = f"DELETE FROM events WHERE id IN (SELECT id {EVENTS})"  # noqa: S608
SILENT = """SELECT id FROM states JOIN things ON id = states.thing WHERE states.thing > ? AND states.thing <= ?
    AND accepted_at < ? AND NOT EXISTS (SELECT 1 FROM active WHERE active.thing = name)"""
PRUNE_VERIFICATIONS = """DELETE FROM verifications WHERE time < ? AND
    NOT EXISTS (SELECT 1 FROM events WHERE events.violation_id = verifications.violation_id) AND
    violation_id NOT IN (SELECT violation_id FROM active)"""
FORGET = ("DELETE FROM states WHERE thing = ?", "DELETE FROM things WHERE id = ?")

log = logging.getLogger(__name__)


class Limits(NamedTuple):
    """The times before which values and events are removed, in seconds since the epoch, and the bytes that are kept."""

    values: float
    events: float
    most_bytes: float = math.inf


def prune(connection: sqlite3.Connection, limits: Limits) -> Pruning:
    """Remove what is too old; each step is a transaction of its own. An hour of reports leaves as a whole."""
    while prune_reports(connection, limits.values // HOUR):
        yield False
    yield False
    while prune_events(connection, limits.events):
        yield False
    connection.execute(PRUNE_VERIFICATIONS, (limits.events,))
    yield False
    yield from prune_things(connection, limits.values)


def make_room(connection: sqlite3.Connection, most_bytes: float) -> Pruning:
    """Remove the oldest values until what is kept fits, with some room; old events only if there is no value left.

    Alarms that are on stay in any case, with the events that began them, and so does the state of every thing.
    """
    enough = most_bytes * (1 - ROOM)
    while (excess := count_bytes(connection) - enough) > 0 and prune_reports(connection, math.inf, excess):
        yield False
    while (excess := count_bytes(connection) - enough) > 0 and prune_events(connection, math.inf, excess):
        yield False


def say_what_was_removed(connection: sqlite3.Connection, most_bytes: float) -> None:
    """Log that less is kept than the configuration asks for."""
    (hour,) = connection.execute("SELECT min(hour) FROM reports").fetchone()
    text = "the database is as large as detect.most_bytes allows (%.0f): "
    if hour is None:
        log.error(text + "all values of metrics were removed early, and then violations", most_bytes)
    else:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(hour * HOUR))
        log.warning(text + "values of metrics are kept from about %s on", most_bytes, since)


def count_bytes(connection: sqlite3.Connection) -> int:
    """Return how many bytes of the database are in use; its file does not shrink, but is filled again."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def prune_reports(connection: sqlite3.Connection, before: float, most_bytes: float = math.inf) -> bool:
    """Remove a step's worth of the oldest values from before an hour; return whether there were any."""
    rows = count_rows(connection, SIZES_OF_REPORTS, before, most_bytes)
    return connection.execute(PRUNE_REPORTS, (before, rows)).rowcount > 0


def prune_events(connection: sqlite3.Connection, before: float, most_bytes: float = math.inf) -> bool:
    """Remove a step's worth of the oldest events from before a time; return whether there were any."""
    rows = count_rows(connection, SIZES_OF_EVENTS, before, most_bytes)
    return connection.execute(PRUNE_EVENTS, (before, rows)).rowcount > 0


def count_rows(connection: sqlite3.Connection, statement: str, before: float, most_bytes: float) -> int:
    """Return how many of the oldest rows make a step; their sizes come in one row, for the sake of other threads."""
    (sizes,) = connection.execute(statement, (before, STEP)).fetchone()
    totals: list[int] = list(accumulate(json.loads(sizes)))
    return max(1, bisect_right(totals, min(most_bytes, STEP_BYTES)))


def prune_things(connection: sqlite3.Connection, cutoff: float) -> Pruning:
    """Remove the things that have been silent so long that nothing is left of their reports, and no alarm is on."""
    (last,) = connection.execute("SELECT coalesce(max(thing), 0) FROM states").fetchone()
    for start in range(0, last, STEP):
        silent = connection.execute(SILENT, (start, start + STEP, cutoff)).fetchall()
        if silent:
            with transaction(connection):
                for statement in FORGET:
                    connection.executemany(statement, silent)
        yield bool(silent)

"""The schema of Detect's database, and how it is opened, refused or set aside."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from defender_detect.errors import StoreError, StoreUnavailable

DATABASE = "detect.db"
PARTS = ("", "-wal", "-shm")  # the files of one database
VERSION = 3
APPLICATION = 0x44446574  # "DDet": tells Detect's database from another program's
PATIENCE = 5.0  # seconds to wait for whoever else writes, such as a person with the sqlite3 shell
LARGEST_LOG = 64 * 1024 * 1024  # bytes; a write-ahead log that grew while somebody read is cut to this afterwards
CACHE = 16 * 1024  # KiB of pages in memory
FAILING = ("disk I/O error", "database or disk is full")  # SQLite's words; its codes come with Python 3.11
READ_AT_START = ("things", "metrics", "states", "active", "counts")  # small; the others may have gigabytes

# A report's row begins with its hour, so that new rows go to one end of the tree and old ones leave from the other.
# Things are numbered as they come: those that report one after the other lie side by side.
TABLES = """
CREATE TABLE things (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE metrics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE reports (hour INTEGER, thing INTEGER, time REAL, metrics BLOB NOT NULL,
    PRIMARY KEY (hour, thing, time)) WITHOUT ROWID;
CREATE TABLE states (thing INTEGER PRIMARY KEY, report_id INTEGER, accepted_at REAL, state BLOB);
CREATE TABLE events (id INTEGER PRIMARY KEY, time REAL NOT NULL, thing TEXT NOT NULL, profile TEXT NOT NULL,
    behavior TEXT NOT NULL, metric TEXT NOT NULL, type TEXT NOT NULL, violation_id TEXT NOT NULL, value BLOB NOT NULL,
    criteria TEXT NOT NULL, kind TEXT NOT NULL, suppressed INTEGER NOT NULL);
CREATE INDEX events_by_time ON events (time);
CREATE INDEX events_by_thing ON events (thing, time);
CREATE TABLE active (violation_id TEXT PRIMARY KEY, thing TEXT NOT NULL, profile TEXT NOT NULL, behavior TEXT NOT NULL,
    metric TEXT NOT NULL, criteria TEXT NOT NULL, kind TEXT NOT NULL, suppressed INTEGER NOT NULL,
    started_at REAL NOT NULL, last_time REAL NOT NULL, last_value BLOB NOT NULL,
    UNIQUE (thing, profile, behavior)) WITHOUT ROWID;
"""
# What each version needs to become the next one. 1: people judge violations, and what happened is counted for good,
# because events are removed in the end; the labels of a count are a JSON array. 2: states are packed shorter, and an
# earlier release, which cannot read them, would end all alarms; `states` has a gigabyte of a million things.
MIGRATIONS = {
    1: """
CREATE TABLE verifications (violation_id TEXT PRIMARY KEY, state TEXT NOT NULL, description TEXT NOT NULL,
    time REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX events_by_violation ON events (violation_id);
CREATE TABLE counts (name TEXT NOT NULL, labels TEXT NOT NULL, value REAL NOT NULL,
    PRIMARY KEY (name, labels)) WITHOUT ROWID;
INSERT INTO counts SELECT type, json_array(profile, behavior), count(*) FROM events GROUP BY type, profile, behavior;
""",
    2: """
CREATE INDEX IF NOT EXISTS active_by_start ON active (started_at);
CREATE INDEX IF NOT EXISTS states_by_time ON states (accepted_at);
""",
}

log = logging.getLogger(__name__)


def open_database(path: Path) -> sqlite3.Connection:
    """Open the database for writing, and make it where there is none; one that is damaged is set aside.

    Raises StoreError for one of another version or program, StoreUnavailable for a disk that is full or fails.
    """
    try:
        return _open(path)
    except sqlite3.Error as error:
        if not is_damage(error):
            says = f"the database {path} cannot be used: {error}"
            if str(error) in FAILING:
                raise StoreUnavailable(f"{says}; see that its disk works and has room: df -h {path.parent}") from error
            raise StoreError(says) from error
        set_aside(path, error)
        return _open(path)


def check_version(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the database has its tables, False for a new one; raise StoreError for one that is not ours."""
    version = find_version(connection)
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables:
        return False
    if application != APPLICATION:
        raise StoreError(f"{path} is another program's database: give Detect a state directory of its own")
    if not 1 <= version <= VERSION:
        raise StoreError(
            f"the database {path} has schema {version}, and this amazon-defender-detect knows only 1 to {VERSION}: "
            "use the release that wrote it, or move the file away to start afresh"
        )
    return True


def check_is_current(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError for a database that is empty, not ours, or that no Detect of this version has opened yet."""
    if not check_version(connection, path):
        raise StoreError(f"the database {path} is empty")
    if find_version(connection) != VERSION:
        raise StoreError(
            f"the database {path} was written by an earlier release: start this amazon-defender-detect once with it, "
            "which brings it up to date"
        )


def find_version(connection: sqlite3.Connection) -> int:
    """Return the version of a database's schema."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do what is inside whole, or, after an exception, not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself after some errors
            connection.execute("ROLLBACK")
        raise


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error says that the file is not, or no longer, a sound database: these have no class of their own."""
    return type(error) is sqlite3.DatabaseError


def set_aside(path: Path, error: Exception) -> None:
    """Keep a damaged database under another name, with its log, which may hold what can be saved."""
    damaged = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
    log.warning("the database %s is damaged (%s): kept as %s, starting afresh", path, error, damaged.name)
    for part in PARTS:
        with contextlib.suppress(OSError):
            os.replace(f"{path}{part}", f"{damaged}{part}")


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        is_complete = check_version(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {LARGEST_LOG}")
        connection.execute(f"PRAGMA cache_size = -{CACHE}")
        if not is_complete:
            _make_tables(connection)
        _migrate(connection, path)
        _check_pages(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables of the first version, from which migrations lead to this one: there is one way to make each."""
    with transaction(connection):
        _execute_all(connection, TABLES)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute("PRAGMA user_version = 1")


def _check_pages(connection: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError where the pages of what a start reads are damaged, which would end it each time."""
    for table in READ_AT_START:
        (found,) = connection.execute(f"PRAGMA quick_check({table})").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(" ".join(found.split()))


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a database from its version to this one, each step whole or not at all."""
    while (version := find_version(connection)) < VERSION:
        with transaction(connection):
            _execute_all(connection, MIGRATIONS[version])
            connection.execute(f"PRAGMA user_version = {version + 1}")
        log.debug("the database %s has schema %d now", path, version + 1)


def _execute_all(connection: sqlite3.Connection, statements: str) -> None:
    for statement in filter(str.strip, statements.split(";")):
        connection.execute(statement)

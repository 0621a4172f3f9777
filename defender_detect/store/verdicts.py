"""Verdicts: what people find violations to be, the one thing that another process than Detect writes."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from defender_detect.errors import NothingKept, StoreError, VerdictError
from defender_detect.store.reader import Reader
from defender_detect.store.schema import PATIENCE, check_is_current, transaction

STATES = ("FALSE_POSITIVE", "BENIGN_POSITIVE", "TRUE_POSITIVE", "UNKNOWN")  # AWS's
LONGEST_DESCRIPTION = 1000  # characters; AWS's
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # what AWS's [^\p{Cntrl}]* leaves out

KNOWN = """SELECT EXISTS (SELECT 1 FROM active WHERE violation_id = :id) OR
    EXISTS (SELECT 1 FROM events WHERE violation_id = :id)"""


def put_verdict(directory: str | Path, violation_id: str, state: str, description: str, now: float) -> None:
    """Keep what a violation was found to be, in place of what was found before.

    Raises VerdictError for a state or a text that AWS does not take, NothingKept if there is no such violation, and
    StoreError if the database cannot be written.
    """
    check_verdict(state, description)
    reader = Reader(directory)
    reader.check()
    try:
        with contextlib.closing(sqlite3.connect(reader.path, timeout=PATIENCE, isolation_level=None)) as connection:
            check_is_current(connection, reader.path)
            with transaction(connection):
                if not connection.execute(KNOWN, {"id": violation_id}).fetchone()[0]:
                    raise NothingKept(f"nothing is kept of a violation {violation_id[:100]}")
                row = (violation_id, state, description, now)
                connection.execute("INSERT OR REPLACE INTO verifications VALUES (?, ?, ?, ?)", row)
    except sqlite3.Error as error:
        raise StoreError(f"the database {reader.path} cannot be written: {error}") from error


def put_verdict_where_kept(directories: Sequence[Path], violation_id: str, *verdict: Any) -> None:
    """Keep what a violation was found to be in the one of several state directories that knows it; as put_verdict."""
    for directory in directories:
        try:
            put_verdict(directory, violation_id, *verdict)
            break
        except NothingKept:
            if directory is directories[-1]:
                raise


def check_verdict(state: str, description: str) -> None:
    """Raise VerdictError for what AWS does not take."""
    if state not in STATES:
        raise VerdictError(f"verificationState must be one of {', '.join(STATES)}, got {state[:100]!a}")
    if len(description) > LONGEST_DESCRIPTION:
        raise VerdictError(
            f"verificationStateDescription must have at most {LONGEST_DESCRIPTION} characters, got {len(description)}"
        )
    if CONTROL.search(description):
        raise VerdictError("verificationStateDescription must be without control characters, line ends included")

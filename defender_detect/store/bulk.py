"""Bulk statements: SQL that takes many rows in one step, because each step gives the interpreter's lock away.

A thread that computes takes the lock then and keeps it for 5 ms; row by row, a batch took seconds beside one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

MOST_VARIABLES = 960  # in a statement; SQLite before 3.32 takes 999
ROWS = "{rows}"  # where the rows go in a statement, each as (?, ?, ...)


def execute_bulk(connection: sqlite3.Connection, statement: str, rows: Iterable[Sequence[Any]]) -> None:
    """Execute a statement with all rows, which have the same number of columns, in as few steps as can be."""
    waiting = list(rows)
    if not waiting:
        return
    row = f"({', '.join('?' * len(waiting[0]))})"
    most = MOST_VARIABLES // len(waiting[0])
    for start in range(0, len(waiting), most):
        chunk = waiting[start : start + most]
        connection.execute(
            statement.replace(ROWS, ", ".join([row] * len(chunk))), [value for each in chunk for value in each]
        )


def find_numbers(connection: sqlite3.Connection, statement: str, names: Sequence[str]) -> dict[str, int]:
    """Return the numbers of names by a statement whose one row is a JSON object of both."""
    found: dict[str, int] = {}
    for start in range(0, len(names), MOST_VARIABLES):
        chunk = names[start : start + MOST_VARIABLES]
        (text,) = connection.execute(statement.replace(ROWS, ", ".join("?" * len(chunk))), chunk).fetchone()
        found.update(json.loads(text))
    return found

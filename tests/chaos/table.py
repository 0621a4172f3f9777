"""The table of faults: what was logged, when reports were accepted again, and whether every byte was accounted for."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

HEADINGS = ("fault", "what was logged", "resumed after", "accounting")
WIDTHS = (34, 62, 13, 28)  # of the columns, in characters
LONGEST_SENTENCE = 200  # characters
PREFIX = re.compile(r"^\S+ \S+ : (?P<level>[A-Z]+) : ")  # of a line in the daemon's log


class Row(NamedTuple):
    """What is known of one fault; `outcome` is pytest's word."""

    fault: str
    logged: str
    resumed: str
    accounting: str
    outcome: str

    def line(self) -> str:
        """Return the row as one line, for the moment at which the test ends."""
        facts = (self.resumed and f"resumed after {self.resumed}", self.accounting, self.logged)
        return f"{self.outcome:7} {self.fault:{WIDTHS[0]}}  {'; '.join(filter(None, facts))}"


class Fault:
    """What a test finds out about its fault; kept as pytest's user properties, which pytest-xdist carries along."""

    def __init__(self, name: str, record: Callable[[str, object], None]) -> None:
        self._record = record
        record("fault", name)

    def logged(self, line: str) -> None:
        """Note what the daemon said; a fault may have several lines."""
        self._record("logged", textwrap.shorten(PREFIX.sub(r"\g<level>: ", line), LONGEST_SENTENCE, placeholder=" ..."))

    def resumed(self, seconds: float) -> None:
        """Note how long after the cure a report was accepted."""
        self._record("resumed", f"{seconds:.1f} s")

    def accounted(self, account: str) -> None:
        """Note how reports and kernel compare."""
        self._record("accounting", account)


def row_of(properties: Iterable[tuple[str, object]], outcome: str) -> Row | None:
    """Return the row that a test's user properties make, or None if it was about no fault."""
    found: dict[str, list[str]] = {}
    for key, value in properties:
        found.setdefault(key, []).append(str(value))
    if "fault" not in found:
        return None
    columns = [" / ".join(found.get(key, [])) for key in ("fault", "logged", "resumed", "accounting")]
    return Row(*columns, outcome)


def format_table(rows: Sequence[Row]) -> str:
    """Return the rows as a table, its long cells wrapped."""
    rule = "-+-".join("-" * width for width in WIDTHS)
    lines = [_cells(HEADINGS)]
    for row in rows:
        failed = "" if row.outcome == "passed" else f"{row.outcome.upper()}: "
        lines += [rule, _cells((failed + row.fault, row.logged or "-", row.resumed or "-", row.accounting or "-"))]
    return "\n".join(lines)


def _cells(texts: Sequence[str]) -> str:
    columns = [textwrap.wrap(text, width) for text, width in zip(texts, WIDTHS)]
    height = max(map(len, columns))
    filled = [[*column, *[""] * (height - len(column))] for column in columns]
    lines = (" | ".join(f"{cell:{width}}" for cell, width in zip(line, WIDTHS)) for line in zip(*filled))
    return "\n".join(line.rstrip() for line in lines)

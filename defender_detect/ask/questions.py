"""The questions that a person or a program asks of what is kept, and their answers as tables and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from defender_detect.ask import queries, tables
from defender_detect.store.reader import Reader

DAY = 24 * 3600.0  # seconds

Answer = Mapping[str, Any]


def answer(
    reader: Reader,
    question: str,
    now: float,
    days: float = 1.0,
    thing: str | None = None,
    metric: str = "",
    active: bool = False,
) -> Answer:
    """Answer "violations", "metrics" or "things" in the shape of AWS's API, looking back so many days from `now`.

    Raises NothingKept for a thing that never reported, or never this metric.
    """
    start, end = now - days * DAY, now + 1
    if question == "things":
        return queries.list_things(reader)
    if question == "metrics":
        return queries.list_metric_values(reader, str(thing), metric, start, end)
    found = (
        queries.list_active_violations(reader, thing)
        if active
        else queries.list_violation_events(reader, start, end, thing)
    )
    if thing is not None and not any(found.values()):
        queries.check_thing(reader, thing)
    return found


def as_json(found: Answer) -> str:
    """Return an answer for a program."""
    return json.dumps(found, indent=2)


def as_table(question: str, found: Answer, width: int | None = None) -> str:
    """Return an answer for a person; `width` is that of the terminal, None for a pipe."""
    if question == "things":
        return tables.things_table(found, width)
    if question == "metrics":
        return tables.metrics_table(found, width)
    return (tables.violations_table if "activeViolations" in found else tables.events_table)(found, width)

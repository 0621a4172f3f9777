"""Pages of violations for the API: each begins behind the last row of the one before, whatever is written meanwhile."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from defender_detect.evaluate.alarms import Event, Violation
from defender_detect.store.reader import Reader, decode

KINDS = {  # of criteria, by what their JSON has
    "STATISTICAL": "json_extract(criteria, '$.statisticalThreshold') IS NOT NULL",
    "MACHINE_LEARNING": "json_extract(criteria, '$.mlDetectionConfig') IS NOT NULL",
    "STATIC": "json_extract(criteria, '$.statisticalThreshold', '$.mlDetectionConfig') = '[null,null]'",
}
ACTIVE = """SELECT active.violation_id, thing, profile, behavior, metric, started_at, last_time, last_value, criteria,
    kind, suppressed FROM active LEFT JOIN verifications ON verifications.violation_id = active.violation_id
    WHERE started_at >= :time AND (started_at > :time OR active.violation_id > :id) AND {where}
    ORDER BY started_at, active.violation_id LIMIT :most"""
EVENTS = """SELECT id, events.violation_id, thing, profile, behavior, metric, type, events.time, value, criteria, kind,
    suppressed FROM events LEFT JOIN verifications ON verifications.violation_id = events.violation_id
    WHERE events.time >= :start AND events.time <= :time AND (events.time < :time OR id < :id) AND {where}
    ORDER BY events.time DESC, id DESC LIMIT :most"""


class Filter(NamedTuple):
    """Which violations are asked for; None for all."""

    thing: str | None = None
    profile: str | None = None
    kind_of_criteria: str | None = None  # one of KINDS
    is_suppressed: bool | None = None
    state: str | None = None  # the verification state

    @property
    def where(self) -> str:
        """The condition of a statement that has the filter as its parameters."""
        conditions = [f"{name} = :{name}" for name in ("thing", "profile") if getattr(self, name) is not None]
        if self.kind_of_criteria is not None:
            conditions.append(KINDS[self.kind_of_criteria])
        if self.is_suppressed is not None:
            conditions.append("suppressed = :is_suppressed")
        if self.state is not None:
            conditions.append("coalesce(state, 'UNKNOWN') = :state")
        return " AND ".join(conditions) or "1"


class PageReader(Reader):
    """A reader that returns one page at a time."""

    def active_page(self, chosen: Filter, key: tuple[Any, ...] | None, most: int) -> list[Violation]:
        """Return alarms that are on, the oldest first, from behind a key: when it began, and its number."""
        time, violation_id = key or (-math.inf, "")
        parameters = {**chosen._asdict(), "time": time, "id": violation_id, "most": most}
        with self._ask() as connection:
            rows = connection.execute(ACTIVE.format(where=chosen.where), parameters).fetchall()
        return [Violation(*decode(row)) for row in rows]

    def events_page(
        self, chosen: Filter, period: tuple[float, float], key: tuple[Any, ...] | None, most: int
    ) -> list[tuple[int, Event]]:
        """Return events with their numbers, the newest first, from before a key: a time, and a number."""
        start, end = period
        time, number = key or (end, math.inf)
        parameters = {**chosen._asdict(), "start": start, "time": min(time, end), "id": number, "most": most}
        with self._ask() as connection:
            rows = connection.execute(EVENTS.format(where=chosen.where), parameters).fetchall()
        return [(row[0], Event(*decode(row[1:]))) for row in rows]

"""The batch: what waits to be written together, bounded, with the oldest dropped first."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event, Lasting
    from defender_detect.metrics import Value

MOST_REPORTS = 150_000  # 15 s at 10,000 reports a second, for as long as the disk takes nothing; about 150 MB
MOST_EVENTS = 150_000  # as if each report raised an alarm
MOST_THINGS = 200_000  # only the latest state of each is kept

# What Detect counts beside violation events, whose names are their types.
ACCEPTED, REJECTED = "accepted", "rejected"  # reports; the latter by code
EVALUATION_SECONDS = "evaluation-seconds"  # of all reports accepted
ALERTS_SENT, ALERTS_FAILED, ALERTS_DROPPED = "alerts-sent", "alerts-failed", "alerts-dropped"  # by sink
ALERTS_WAITING = "alerts-waiting"  # by sink; a level, not a count


class Report(NamedTuple):
    """A report's metric values."""

    thing: str
    time: float
    values: Mapping[str, Value]


class Count(NamedTuple):
    """What is counted: its name and its labels, the profile and the behavior for instance."""

    name: str
    labels: tuple[str, ...] = ()


class Latest(NamedTuple):
    """What is newest of a thing; None where nothing changed."""

    report_id: int | None
    accepted_at: float | None
    state: bytes | None


NOTHING_NEW = Latest(None, None, None)


class Batch:
    """What was added since the last batch was taken; `dropped` counts what there was no room for."""

    def __init__(self) -> None:
        self.reports: deque[Report] = deque()
        self.events: deque[Event] = deque()
        self.latest: dict[str, Latest] = {}
        self.lasting: dict[str, tuple[float, Value | None]] = {}
        self.counts: Counter[Count] = Counter()
        self.levels: dict[Count, float] = {}
        self.dropped = 0

    def __bool__(self) -> bool:
        return bool(self.reports or self.events or self.latest or self.lasting or self.counts or self.levels)

    def add_report(self, report: Report) -> None:
        """Add a report's values."""
        self.reports.append(report)
        self._bound(self.reports, MOST_REPORTS)

    def add_events(self, events: Sequence[Event]) -> None:
        """Add violation events."""
        self.events.extend(events)
        self._bound(self.events, MOST_EVENTS)

    def add_latest(self, thing: str, new: Latest) -> None:
        """Replace what is newest of a thing, but for what did not change."""
        old = self.latest.get(thing)
        if old is None and len(self.latest) >= MOST_THINGS:
            self.dropped += 1
            return
        self.latest[thing] = new if old is None else _merge(old, new)

    def add_lasting(self, time: float, lasting: Sequence[Lasting]) -> None:
        """Note that alarms last."""
        for violation_id, value in lasting:
            if violation_id in self.lasting or len(self.lasting) < MOST_THINGS:
                self.lasting[violation_id] = (time, value)

    def count(self, count: Count, more: float) -> None:
        """Add to what is counted."""
        self.counts[count] += more  # type: ignore[assignment]  # seconds are counted, too

    def put_before(self, later: Batch) -> Batch:
        """Return one batch of this one, which could not be written, and what came after it."""
        self.reports.extend(later.reports)
        self._bound(self.reports, MOST_REPORTS)
        self.add_events(later.events)
        for thing, latest in later.latest.items():
            self.add_latest(thing, latest)
        self.lasting.update(later.lasting)
        self.counts.update(later.counts)
        self.levels.update(later.levels)
        self.dropped += later.dropped
        return self

    def _bound(self, waiting: deque[Report] | deque[Event], most: int) -> None:
        while len(waiting) > most:
            waiting.popleft()
            self.dropped += 1


def _merge(old: Latest, new: Latest) -> Latest:
    if None not in new:
        return new
    return Latest(
        old.report_id if new.report_id is None else new.report_id,
        old.accepted_at if new.accepted_at is None else new.accepted_at,
        old.state if new.state is None else new.state,
    )

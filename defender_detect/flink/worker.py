"""One worker of the job, without any engine: a record and what is kept of its thing go in, what came of it comes out.

What is kept of a thing is one byte string: when its timer is set for, and the kernel's state.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import NamedTuple

from defender_detect.evaluate import kernel
from defender_detect.evaluate.alarms import Event
from defender_detect.evaluate.rules import Rules
from defender_detect.evaluate.ruleset import NO_THRESHOLDS, Name
from defender_detect.flink.records import AHEAD, LATE, REDELIVERED, Record, Refused, begin, read_record
from defender_detect.flink.thresholds import Thresholds, known_at
from defender_detect.judge.verdict import Accepted, LastReport, judge
from defender_detect.metrics import FORGOTTEN_AFTER, metric_values

TIMER = struct.Struct("<d")  # before the kernel's state: when the thing's timer fires, 0 if none is set
NOTHING = TIMER.pack(0.0)


class Taken(NamedTuple):
    """What came of a record or a timer: what is to be kept (None: nothing), and what is to be told."""

    kept: bytes | None
    events: tuple[Event, ...] = ()
    refused: Refused | None = None
    datapoints: tuple[tuple[Name, float], ...] = ()
    timer: float | None = None  # to be set, if it is not yet


class Worker:
    """Evaluates the records of some things by the rules and thresholds that it was given last."""

    def __init__(self, rules: Rules, minimum_interval: float, clock: Callable[[], float] = time.time) -> None:
        self.rules, self.thresholds = rules, Thresholds()
        self._minimum_interval, self._clock = minimum_interval, clock

    def read(self, line: str, arrived: float | None = None) -> Record | Refused:
        """Return what a record holds, or why that is nothing."""
        return read_record(line, self._clock() + AHEAD, arrived)

    def settled_at(self, record: Record | Refused) -> int:
        """Return the milliseconds until which the thresholds for a record may still be unknown; 0 if it needs none."""
        ranked = self.rules.ranked
        if not ranked or isinstance(record, Refused):
            return 0
        needed = self.rules.of(record.topic.thing).ranked
        return int(max((known_at(record.time, ranked[name].duration) for name in needed), default=0.0) * 1000)

    def release(self, held: Iterable[str], watermark: int) -> list[tuple[str, Record | Refused]]:
        """Return what is settled of the records that were held back, each with its line; the others go on waiting.

        What comes after a record that has to wait, waits with it.
        """
        records = ((line, self.read(line, watermark / 1000)) for line in held)
        return list(takewhile(lambda each: self.settled_at(each[1]) <= watermark, records))

    def take(self, record: Record, kept: bytes | None, line: str) -> Taken:
        """Judge and evaluate a report."""
        kept = kept or NOTHING
        state, thing, now = kept[TIMER.size :], record.topic.thing, record.time
        last = kernel.last_report(state) if state else None
        is_old = last is not None and now <= last[1]
        before = None if last is None or is_old else LastReport(*last)
        verdict = judge(record.topic, record.payload, now, before, self._minimum_interval)
        if not isinstance(verdict, Accepted):
            return Taken(kept, refused=Refused(verdict.code, verdict.message, thing, begin(line)))
        if last is not None and is_old:
            return Taken(kept, refused=_describe_late(verdict, last, line))
        ruleset = self.rules.of(thing)
        thresholds = self.thresholds.at(now, ruleset.ranked, self.rules.ranked) if ruleset.ranked else NO_THRESHOLDS
        values = metric_values(verdict.report)
        return _keep(kept, kernel.observe(state, ruleset, thing, values, verdict.report_id, now, thresholds), now)

    def elapse(self, thing: str, kept: bytes | None, now: float) -> Taken | None:
        """Find out what follows from a thing's silence, when its timer fires; None if that is set for later."""
        state = (kept or NOTHING)[TIMER.size :]
        if not state:
            return Taken(None)
        if now < TIMER.unpack_from(kept or NOTHING)[0]:
            return None
        reported = (kernel.last_report(state) or (0, now))[1]
        return _keep(NOTHING, kernel.elapse(state, self.rules.of(thing), thing, now), reported)


def _keep(kept: bytes, outcome: kernel.Outcome, reported: float) -> Taken:
    """Return what came of an evaluation, with a timer where none is set that fires in time.

    A timer that fires too early does no harm, and so a report seldom sets one: every thing has one timer, which is set
    again when it fires. Where nothing is due it is there to forget the thing.
    """
    if not outcome.state:
        return Taken(None, outcome.events)
    (timer,) = TIMER.unpack_from(kept)
    due = reported + FORGOTTEN_AFTER if outcome.due is None else outcome.due
    is_set = 0 < timer <= due
    after = (kept[: TIMER.size] if is_set else TIMER.pack(due)) + outcome.state
    return Taken(after, outcome.events, None, outcome.datapoints, None if is_set else due)


def _describe_late(verdict: Accepted, last: tuple[int, float], line: str) -> Refused:
    if verdict.report_id == last[0]:
        return Refused(REDELIVERED, "the report was delivered before", verdict.thing, begin(line))
    reason = "the report came after a later one of its thing, and is not evaluated"
    return Refused(LATE, reason, verdict.thing, begin(line))

"""The kernel: what becomes of one thing by a report or by its silence, for the single process and any engine alike.

An engine keeps one byte string for each thing and calls `observe` for a report, and `elapse` when a timer fires. Both
are pure: time is the report's, ids and times of events follow from it, and whoever calls again with the same gets the
same. What was due before is done first, so that a timer which fires too late changes no event. What an engine has to do
besides: to make thresholds of the datapoints (`percentiles.py`), and to hand every worker the same `Rules` as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from defender_detect.evaluate.alarms import Event, Lasting, OrNone, State, Subject, invalidate, is_silent
from defender_detect.evaluate.ruleset import (
    NO_THRESHOLDS,
    Memory,
    Name,
    Remembered,
    Rule,
    Ruleset,
    Thresholds,
    forget,
    recall,
)
from defender_detect.evaluate.silence import look, next_look
from defender_detect.metrics import FORGOTTEN_AFTER, Value
from defender_detect.profiles import Behavior, Criteria

UNKNOWN = b""  # the state of a thing of which nothing is remembered


class Kept(msgspec.Struct, array_like=True, gc=False):
    """A thing's state, as it is packed; profiles may change without it, as it goes by the behaviors' names."""

    report_id: int  # of the last report
    accepted_at: float  # seconds since the epoch
    looked: OrNone  # when it was looked at for its silence since then; None if it was not
    memory: Remembered


class Unread(msgspec.Struct, array_like=True, gc=False):
    """The same, as far as it is read to judge a report."""

    report_id: int
    accepted_at: float
    looked: OrNone
    memory: msgspec.Raw


ENCODER = msgspec.msgpack.Encoder()
READ, READ_HEAD = msgspec.msgpack.Decoder(Kept).decode, msgspec.msgpack.Decoder(Unread).decode
NOTHING_REMEMBERED = ENCODER.encode({})


class Outcome(NamedTuple):
    """What came of a report, or of a look."""

    state: bytes  # after it; UNKNOWN if the thing has been silent for two days
    events: tuple[Event, ...]  # in the order of their times
    lasting: tuple[Lasting, ...]  # alarms that were on and that this violated again
    datapoints: tuple[tuple[Name, float], ...]  # of behaviors with a percentile, to be counted for its next threshold
    due: float | None  # when `elapse` is to be called if no report comes before; None if nothing would come of that
    redelivered: bool = False  # the report had been evaluated before


class CaughtUp(NamedTuple):
    """A thing at a time until which nothing came of it but silence; `memory` is None after two days of that."""

    memory: Memory | None
    events: tuple[Event, ...] = ()
    lasting: tuple[Lasting, ...] = ()


def observe(
    state: bytes,
    ruleset: Ruleset,
    thing: str,
    values: Mapping[str, Value],
    report_id: int,
    now: float,
    thresholds: Thresholds = NO_THRESHOLDS,
) -> Outcome:
    """Evaluate an accepted report that the broker received at `now`.

    `thresholds` are the percentiles of the windows of `window_in_force`, None or nothing where one is not known. A
    report that is older than the last, with another id, is taken for one after the clock was set back: an engine that
    knows better leaves it out. Raises msgspec.DecodeError if the state is none.
    """
    before, ended = _open(state, ruleset, thing, now)
    if before is not None:
        if is_redelivered(before, report_id, now):
            return Outcome(state, (), (), (), next_due(ruleset, before), True)
        caught = catch_up(ruleset, thing, before, now)
        before, ended = caught.memory, _in_order(ended, caught.events)
    memory, events, lasting, datapoints = ruleset.observe(
        thing, before or forget(ruleset.names), values, now, thresholds, report_id
    )
    return Outcome(_pack(memory, ruleset), ended + events, lasting, datapoints, next_due(ruleset, memory))


def elapse(state: bytes, ruleset: Ruleset, thing: str, now: float) -> Outcome:
    """Do what is due of a thing's silence until a time, and end the alarms of behaviors that are gone.

    Raises msgspec.DecodeError if the state is none.
    """
    before, ended = _open(state, ruleset, thing, now)
    if before is None:
        return Outcome(UNKNOWN, (), (), (), None)
    memory, events, lasting = catch_up(ruleset, thing, before, now)
    events = _in_order(ended, events)
    if memory is None:
        return Outcome(UNKNOWN, events, (), (), None)
    return Outcome(_pack(memory, ruleset), events, lasting, (), next_due(ruleset, memory))


def last_report(state: bytes) -> tuple[int, float] | None:
    """Return the id of a thing's last report and when it was accepted; None if there is none.

    Raises msgspec.DecodeError if the state is none.
    """
    if not state:
        return None
    head = READ_HEAD(state)
    return head.report_id, head.accepted_at


def adopt(report_id: int, accepted_at: float, packed: bytes | None) -> bytes:
    """Return the state of a thing that a single process kept in its store."""
    return ENCODER.encode(Unread(report_id, accepted_at, None, msgspec.Raw(packed or NOTHING_REMEMBERED)))


def is_redelivered(memory: Memory, report_id: int, now: float) -> bool:
    """Whether a report is the one that was evaluated last, and so is to have no effect."""
    return memory.report_id == report_id and now <= memory.reported


def catch_up(ruleset: Ruleset, thing: str, memory: Memory, now: float, hears_all: bool = True) -> CaughtUp:
    """Do what is due of a thing's silence until a time, each at its own; unless somebody may have been deaf to it."""
    due = next_look(ruleset, memory) if hears_all else None
    if (due is None or due > now) and not is_silent(memory.reported, now):
        return CaughtUp(memory)
    end = memory.reported + FORGOTTEN_AFTER
    events: tuple[Event, ...] = ()
    lasting: tuple[Lasting, ...] = ()
    while due is not None and due <= now and due < end:
        memory, more, lasting, due = look(thing, memory, ruleset, due)
        events += more
    if not is_silent(memory.reported, now):
        return CaughtUp(memory, events, lasting)
    return CaughtUp(None, events + end_alarms(thing, zip(ruleset.rules, memory.states), end))


def next_due(ruleset: Ruleset, memory: Memory) -> float | None:
    """Return when something comes of a thing's silence."""
    end = memory.reported + FORGOTTEN_AFTER if memory.in_alarm else None
    due = next_look(ruleset, memory)
    return end if due is None else due if end is None else min(due, end)


def end_alarms(thing: str, alarms: Iterable[tuple[Rule, State]], time: float) -> tuple[Event, ...]:
    """Return the events of those alarms that are on and that nothing will follow."""
    ends = (invalidate(state, Subject(thing, rule.profile, rule.behavior), time) for rule, state in alarms)
    return tuple(filter(None, ends))


def end_gone(ruleset: Ruleset, thing: str, remembered: Remembered, time: float) -> tuple[Event, ...]:
    """Return the events of the alarms that are on, but of no behavior for the thing any more."""
    gone = {name: each for name, each in remembered.items() if name not in ruleset.names}
    alarms = [(name, each[1].unpack()) for name, each in gone.items() if isinstance(each, tuple)]
    return tuple(filter(None, (invalidate(state, _whose(ruleset, thing, name), time) for name, state in alarms)))


def _whose(ruleset: Ruleset, thing: str, name: Name) -> Subject:
    """Return whose alarm it is by a behavior's name, with what it said if that is known."""
    rule = ruleset.retired.get(name)
    if rule is not None:
        return Subject(thing, rule.profile, rule.behavior)
    profile, _, behavior = name.partition("/")
    return Subject(thing, profile, Behavior(behavior, "", Criteria("", None, None)))


def _open(state: bytes, ruleset: Ruleset, thing: str, now: float) -> tuple[Memory | None, tuple[Event, ...]]:
    """Return what is remembered of a thing, and the ends of the alarms of behaviors that are gone."""
    if not state:
        return None, ()
    kept = READ(state)
    memory = recall(kept.memory, ruleset.names, kept.accepted_at, kept.report_id, kept.looked or 0.0)
    if ruleset.has_all(kept.memory):
        return memory, ()
    end = min(ruleset.since or now, kept.accepted_at + FORGOTTEN_AFTER)
    return memory, end_gone(ruleset, thing, kept.memory, end)


def _in_order(first: tuple[Event, ...], second: tuple[Event, ...]) -> tuple[Event, ...]:
    return tuple(sorted(first + second, key=_time_of)) if first and second else first or second


def _time_of(event: Event) -> float:
    return event.time


def _pack(memory: Memory, ruleset: Ruleset) -> bytes:
    """Return what `Kept` reads."""
    remembered = memory.by_name(ruleset.names)
    return ENCODER.encode((memory.report_id, memory.reported, memory.looked or None, remembered))

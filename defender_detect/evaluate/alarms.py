"""The alarm of one behavior of one thing: how many datapoints raise it, how many clear it, and when it is invalid."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Union

import msgspec

from defender_detect.metrics import FORGOTTEN_AFTER, METRICS, Value
from defender_detect.profiles import Behavior

IN_ALARM, ALARM_CLEARED, ALARM_INVALIDATED = "in-alarm", "alarm-cleared", "alarm-invalidated"
VIOLATIONS = uuid.UUID("6f6d5b0e-3c5c-5d0f-9c7e-0f4f3d1c8a52")  # made up; the namespace of the violations' identifiers

OrNone = Union[float, None]  # msgspec evaluates annotations, and Python 3.9 has no X | Y


class State(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an alarm remembers; most things are in the first state, NORMAL, which they share.

    It has no place for the value that violates: that may be a list as long as a report.
    """

    count: int = 0  # consecutive datapoints that speak for the other state: alarm or no alarm
    updated: float = -1.0  # the last datapoint's time, in seconds since the epoch; NORMAL does not need it
    violation_id: str = ""  # of the alarm that is on; "" for none
    started: float = 0.0  # when that alarm began
    violated: float = 0.0  # when the last datapoint in violation came

    @property
    def in_alarm(self) -> bool:
        """Whether the alarm is on."""
        return bool(self.violation_id)


NORMAL = State()


class PackedState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A state as it is packed: whole, as earlier releases did, or shorter."""

    count: int = 0
    updated: float = -1.0
    violation_id: str = ""
    started: float = 0.0
    violated: OrNone = None  # None: as `updated`
    packed_id: bytes = b""  # instead of the violation's id

    def unpack(self) -> State:
        """Return the state."""
        name = _id_of(self.packed_id) if self.packed_id else self.violation_id
        if not name:
            return State(self.count, self.updated) if self.count else NORMAL
        return State(
            self.count, self.updated, name, self.started, self.updated if self.violated is None else self.violated
        )


def pack_state(state: State) -> tuple[object, ...]:
    """Return a state to be packed, and read as a PackedState: 40 bytes for an alarm, 11 for a count."""
    if not state.violation_id:
        return state.count, state.updated
    name = _uuid_of(state.violation_id)
    if name is None:
        return state.count, state.updated, state.violation_id, state.started, state.violated
    violated = None if state.violated == state.updated else state.violated
    return state.count, state.updated, "", state.started, violated, name


def _uuid_of(violation_id: str) -> bytes | None:
    """Return the 16 bytes of an id; None if it is not written as UUIDs are."""
    try:
        packed = bytes.fromhex(violation_id.replace("-", ""))
    except ValueError:
        return None
    return packed if _id_of(packed) == violation_id else None


def _id_of(packed: bytes) -> str:
    """Return an id by its bytes; not by the class UUID, which takes five times as long."""
    digits = packed.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Group(NamedTuple):
    """Events that are told in one message."""

    number: int  # with the one that is told
    things: tuple[str, ...]  # the first of their names
    rules: tuple[str, ...]  # the first of their behaviors, each with its profile; empty if there is only one


@dataclass(frozen=True)
class Event:
    """An alarm begins, is cleared or is invalidated."""

    violation_id: str
    thing: str
    profile: str
    behavior: str
    metric: str
    type: str  # IN_ALARM, ALARM_CLEARED or ALARM_INVALIDATED
    time: float  # seconds since the epoch
    value: Value | None  # the datapoint; None if there is none, as when silence invalidates the alarm
    criteria: Mapping[str, Any]  # as in the profile's JSON
    kind: str  # the value's key in the API: "count", "cidrs", "ports", "number", "numbers" or "strings"
    suppressed: bool  # nobody is to be notified
    threshold: float | None = None  # the percentile that it was compared with; not kept in the store
    group: Group | None = None  # if it stands for others in a message


class Lasting(NamedTuple):
    """An alarm that a report found still violated: its id, and the value that did."""

    violation_id: str
    value: Value | None


class Violation(NamedTuple):
    """An alarm that is on."""

    violation_id: str
    thing: str
    profile: str
    behavior: str
    metric: str
    started_at: float
    last_time: float
    last_value: Value | None
    criteria: dict[str, object]
    kind: str
    suppressed: bool


class Subject(NamedTuple):
    """Whose alarm it is: a behavior of a profile, and the thing."""

    thing: str
    profile: str
    behavior: Behavior

    def describe(self, kind: str, state: State, now: float, value: Value | None) -> Event:
        """Return the event of a state's alarm."""
        behavior = self.behavior
        return Event(
            violation_id=state.violation_id,
            thing=self.thing,
            profile=self.profile,
            behavior=behavior.name,
            metric=behavior.metric,
            type=kind,
            time=now,
            value=value,
            criteria=behavior.criteria.document,
            kind=METRICS.get(behavior.metric) or behavior.criteria.kind or "number",
            suppressed=behavior.suppress_alerts,
        )


def violation_id_of(thing: str, profile: str, behavior: str, time: float) -> str:
    """Return the identifier of the violation that a thing's datapoint of that time begins.

    Whoever evaluates the same report by the same rules gives the same one, so that a list of events holds none twice.
    """
    name = f"{thing}/{profile}/{behavior}/{time!r}"  # no name has a slash
    return str(uuid.uuid5(VIOLATIONS, name.encode("utf-8", "backslashreplace").decode()))


def step(
    state: State, subject: Subject, conforms: bool | None, now: float, value: Value | None = None
) -> tuple[State, Event | None]:
    """Return the alarm's state after a datapoint, and the event if it begins or is cleared.

    `conforms` is None if there is no datapoint, which changes nothing; neither does a second one of the same time.
    """
    if conforms is None or now == state.updated:
        return state, None
    if state.in_alarm:
        return step_in_alarm(state, subject, conforms, now, value)
    if conforms:
        return NORMAL, None  # always the same object: most alarms are in this state
    count = state.count + 1
    if count < subject.behavior.criteria.to_alarm:
        return State(count, now), None
    violation_id = violation_id_of(subject.thing, subject.profile, subject.behavior.name, now)
    alarm = State(0, now, violation_id, now, now)
    return alarm, subject.describe(IN_ALARM, alarm, now, value)


def step_in_alarm(
    state: State, subject: Subject, conforms: bool, now: float, value: Value | None
) -> tuple[State, Event | None]:
    """Return the state after a datapoint while the alarm is on, and the event if that clears it."""
    if not conforms:
        return State(0, now, state.violation_id, state.started, now), None
    count = state.count + 1
    if count >= subject.behavior.criteria.to_clear:
        return NORMAL, subject.describe(ALARM_CLEARED, state, now, value)
    return State(count, now, state.violation_id, state.started, state.violated), None


def invalidate(state: State, subject: Subject, now: float) -> Event | None:
    """Return the event of an alarm that nothing will follow; None if it is not on."""
    return subject.describe(ALARM_INVALIDATED, state, now, None) if state.in_alarm else None


def is_silent(reported: float, now: float) -> bool:
    """Whether a thing has not reported for so long that its alarms are invalid and every count begins again.

    It is the thing that counts and not the alarm's metric: whoever breaks into a device and switches off a block of its
    report must not clear the alarm by that.
    """
    return now - reported >= FORGOTTEN_AFTER

"""An alarm begins after so many datapoints, ends after so many, and a restart in between changes nothing."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_detect.evaluate.alarms import (
    ALARM_CLEARED,
    ALARM_INVALIDATED,
    IN_ALARM,
    NORMAL,
    Event,
    PackedState,
    State,
    Subject,
    invalidate,
    is_silent,
    pack_state,
    step,
    violation_id_of,
)
from defender_detect.evaluate.ruleset import forget
from defender_detect.metrics import FORGOTTEN_AFTER
from defender_detect.profiles import Behavior, parse_behavior
from tests.examples import examples

NOW = 1_700_000_000.0
CRITERIA = {"comparisonOperator": "less-than-equals", "value": {"number": 75}}


def behavior(to_alarm: int = 1, to_clear: int = 1, **more: Any) -> Behavior:
    counts = {"consecutiveDatapointsToAlarm": to_alarm, "consecutiveDatapointsToClear": to_clear}
    return parse_behavior({"name": "b", "metric": "cpu_usage", "criteria": {**CRITERIA, **counts}, **more})


def subject(to_alarm: int = 1, to_clear: int = 1, **more: Any) -> Subject:
    return Subject("thing", "profile", behavior(to_alarm, to_clear, **more))


ID = violation_id_of("thing", "profile", "b", NOW)  # of an alarm of `subject` that begins now


def run(whose: Subject, datapoints: str) -> list[str]:
    """Step through datapoints (y: conforms, n: violates, -: none), and return the event's type after each, or ""."""
    state, found = NORMAL, list[str]()
    for index, datapoint in enumerate(datapoints):
        conforms = {"y": True, "n": False, "-": None}[datapoint]
        state, event = step(state, whose, conforms, NOW + 300 * index, 80.5)
        found.append(event.type if event else "")
    return found


@pytest.mark.parametrize(
    ("to_alarm", "to_clear", "datapoints", "alarmed", "cleared"),
    [
        (1, 1, "nny", 0, 2),
        (3, 2, "nnnyy", 2, 4),
        (3, 2, "nnynnnyny-y", 5, 10),
        (2, 1, "n-n-y", 2, 4),
        (10, 10, "nnnnnnnnnnyyyyyyyyyy", 9, 19),
        (2, 1, "nyny", None, None),
    ],
)
def test_an_alarm_begins_and_ends_after_its_consecutive_datapoints(
    to_alarm: int, to_clear: int, datapoints: str, alarmed: int | None, cleared: int | None
) -> None:
    expected = [""] * len(datapoints)
    if alarmed is not None and cleared is not None:
        expected[alarmed], expected[cleared] = IN_ALARM, ALARM_CLEARED
    assert expected == run(subject(to_alarm, to_clear), datapoints)


def test_an_event_says_everything_about_the_violation() -> None:
    state, event = step(NORMAL, subject(suppressAlerts=True), False, NOW, 80.5)
    expected = Event(
        violation_id=ID,
        thing="thing",
        profile="profile",
        behavior="b",
        metric="cpu_usage",
        type="in-alarm",
        time=NOW,
        value=80.5,
        criteria=behavior().criteria.document,
        kind="number",
        suppressed=True,
    )
    assert expected == event
    assert state.in_alarm
    assert (ID, NOW, NOW) == (state.violation_id, state.started, state.violated)


def test_an_alarm_knows_its_last_violation() -> None:
    whose = subject(1, 2)
    state, _ = step(NORMAL, whose, False, NOW, 80)
    state, _ = step(state, whose, False, NOW + 300, 90)
    state, _ = step(state, whose, True, NOW + 600, 10)
    assert State(1, NOW + 600, ID, NOW, NOW + 300) == state
    state, event = step(state, whose, True, NOW + 900, 20)
    assert state is NORMAL
    assert event is not None
    assert (ID, ALARM_CLEARED, 20, False) == (event.violation_id, event.type, event.value, event.suppressed)


def test_a_behavior_that_conforms_shares_the_normal_state() -> None:
    assert (NORMAL, None) == step(State(), subject(), True, NOW)
    assert step(State(2, NOW), subject(3), True, NOW + 300)[0] is NORMAL


def test_a_datapoint_that_comes_twice_counts_once() -> None:
    state, event = step(NORMAL, subject(2), False, NOW)
    assert (state, None) == step(state, subject(2), False, NOW)
    assert event is None


def test_the_kind_of_a_value_is_the_metrics() -> None:
    ranked = {"comparisonOperator": "less-than", "statisticalThreshold": {"statistic": "p50"}, "durationSeconds": 300}
    for metric, kind in [("aws:all-bytes-in", "count"), ("cpu_usage", "number")]:
        whose = Subject("t", "p", parse_behavior({"name": "b", "metric": metric, "criteria": ranked}))
        event = step(NORMAL, whose, False, NOW, 5)[1]
        assert event is not None
        assert kind == event.kind


def test_a_thing_is_silent_after_two_days() -> None:
    for elapsed, silent in ((0, False), (2 * 24 * 3600 - 1, False), (2 * 24 * 3600, True), (-FORGOTTEN_AFTER, False)):
        assert silent is is_silent(NOW, NOW + elapsed)


def test_an_alarm_that_nothing_follows_is_invalidated() -> None:
    state, _ = step(NORMAL, subject(), False, NOW, 80.5)
    event = invalidate(state, subject(), NOW + 5)
    assert event is not None
    assert (ID, ALARM_INVALIDATED, NOW + 5, None) == (event.violation_id, event.type, event.time, event.value)


def test_of_a_count_that_is_no_alarm_yet_nobody_is_told() -> None:
    state, _ = step(NORMAL, subject(2), False, NOW)
    assert None is invalidate(state, subject(2), NOW) is invalidate(NORMAL, subject(2), NOW)


def test_a_violations_id_follows_from_its_thing_behavior_and_time_and_aws_would_take_it() -> None:
    said = ("thing", "profile", "b", NOW)
    assert violation_id_of(*said) == violation_id_of(*said) == "5a4e5158-3d49-5421-b048-37e8806741ea"
    assert set(violation_id_of(*said)) <= set("0123456789abcdef-")
    others = [
        ("thing-2", *said[1:]),
        ("thing", "p", "b", NOW),
        ("thing", "profile", "c", NOW),
        (*said[:3], NOW + 0.001),
    ]
    assert 5 == len({violation_id_of(*each) for each in (said, *others)})
    assert uuid.UUID(violation_id_of("\ud800 \x00", "p", "b", NOW)).version == 5


@given(st.text("yyn-", max_size=60), st.integers(1, 10), st.integers(1, 10), st.integers(0, 60))
@examples(100)
def test_alarms_begin_and_end_in_turns(datapoints: str, to_alarm: int, to_clear: int, silence: int) -> None:
    state, events, now, whose = NORMAL, [], NOW, subject(to_alarm, to_clear)
    for index, datapoint in enumerate(datapoints):
        now += FORGOTTEN_AFTER if index == silence else 300
        if index == silence:
            event, state = invalidate(state, whose, now), NORMAL
            events += [event] if event else []
        state, event = step(state, whose, {"y": True, "n": False}.get(datapoint), now, 1)
        events += [event] if event else []
        assert state.in_alarm is (len(events) % 2 == 1)
    assert all(event.type == IN_ALARM for event in events[::2])
    assert all(event.type in (ALARM_CLEARED, ALARM_INVALIDATED) for event in events[1::2])
    begun = [violation_id_of("thing", "profile", "b", event.time) for event in events[::2] for _ in "be"]
    assert begun[: len(events)] == [event.violation_id for event in events]


@given(st.text("yn", max_size=60), st.integers(1, 10), st.integers(1, 10))
@examples(100)
def test_an_alarm_is_what_the_last_datapoints_say(datapoints: str, to_alarm: int, to_clear: int) -> None:
    seen, in_alarm, expected = "", False, []
    for datapoint in datapoints:
        seen += datapoint
        if seen.endswith("y" * to_clear if in_alarm else "n" * to_alarm):
            in_alarm, seen = not in_alarm, ""
            expected.append(IN_ALARM if in_alarm else ALARM_CLEARED)
        else:
            expected.append("")
    assert expected == run(subject(to_alarm, to_clear), datapoints)


def test_what_is_normal_takes_no_room() -> None:
    assert b"\x80" == forget(["p/a", "p/b"]).pack(["p/a", "p/b"])


@pytest.mark.parametrize(
    ("state", "size"),
    [
        (State(2, NOW), 11),
        (State(0, NOW, ID, NOW - 300, NOW), 40),
        (State(3, NOW, ID, NOW - 900, NOW - 300), 48),
        (State(0, -1.0, ID, NOW, NOW), 48),
        (State(1, NOW, "violation-1", NOW, NOW), 41),
        (State(1, NOW, ID.upper(), NOW, NOW), 67),
        (State(1, NOW, ID.replace("-", ""), NOW, NOW), 63),
    ],
)
def test_a_state_is_packed_short_and_read_as_it_was_as_is_one_of_an_earlier_release(state: State, size: int) -> None:
    packed = msgspec.msgpack.encode(pack_state(state))
    assert size == len(packed)
    for each in (packed, msgspec.msgpack.encode(state)):
        assert state == msgspec.msgpack.decode(each, type=PackedState).unpack()


def test_the_normal_state_of_an_earlier_release_is_the_shared_one() -> None:
    assert NORMAL is msgspec.msgpack.decode(msgspec.msgpack.encode(NORMAL), type=PackedState).unpack()

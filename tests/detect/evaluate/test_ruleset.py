"""The rules for one kind of thing, and what is remembered of it."""

from __future__ import annotations

import gc
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from defender_detect.evaluate.alarms import (
    ALARM_CLEARED,
    IN_ALARM,
    NORMAL,
    Event,
    Subject,
    step,
)
from defender_detect.evaluate.behaviors import History, compile_behavior
from defender_detect.evaluate.ruleset import Memory, forget, unpack
from defender_detect.judge.verdict import LastReport
from defender_detect.profiles import Profile, parse_profile
from tests.detect.evaluate.test_alarms import subject
from tests.examples import examples

NOW = 1_700_000_000.0


CRITERIA = {"comparisonOperator": "less-than-equals", "value": {"number": 75}}


PROFILES = tuple(
    parse_profile({"securityProfileName": name, "behaviors": behaviors})
    for name, behaviors in {
        "cpu": [{"name": "b", "metric": "cpu_usage", "criteria": {**CRITERIA, "consecutiveDatapointsToAlarm": 2}}],
        "traffic": [
            {
                "name": "most",
                "metric": "aws:all-bytes-out",
                "criteria": {
                    "comparisonOperator": "less-than",
                    "value": {"count": 500},
                    "durationSeconds": 900,
                    "consecutiveDatapointsToClear": 2,
                },
            },
            {
                "name": "least",
                "metric": "aws:all-bytes-out",
                "criteria": {
                    "comparisonOperator": "greater-than",
                    "value": {"count": 100},
                    "durationSeconds": 1800,
                },
            },
        ],
        "ports": [
            {
                "name": "b",
                "metric": "aws:listening-tcp-ports",
                "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22]}},
            }
        ],
    }.items()
)


REPORTS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "cpu_usage": st.sampled_from([10, 99.5]),
            "aws:all-bytes-out": st.integers(0, 300),
            "aws:listening-tcp-ports": st.sampled_from([(), (22,), (22, 4444)]),
        },
    ),
    max_size=25,
)


def watch(profiles: tuple[Profile, ...], reports: list[Any], restarts: frozenset[int] = frozenset()) -> list[Event]:
    """Evaluate one thing's reports against profiles, forgetting everything but what was packed at some of them."""
    rules = [(profile, each, compile_behavior(each)) for profile in profiles for each in profile.behaviors]
    names = [f"{profile.name}/{each.name}" for profile, each, _ in rules]
    memory, events = forget(names), []
    for index, values in enumerate(reports):
        if index in restarts:
            memory = unpack(memory.pack(names), names)
        histories, states = list(memory.histories), list(memory.states)
        for place, (profile, each, evaluate) in enumerate(rules):
            now = NOW + 300.5 * index
            histories[place], datapoint, conforms = evaluate(histories[place], values.get(each.metric), now, None)
            whose = Subject("thing", profile.name, each)
            states[place], event = step(states[place], whose, conforms, now, datapoint)
            events += [event] if event else []
        memory = Memory(tuple(histories), tuple(states))
    return events


def in_order(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda event: (event.time, event.profile, event.behavior))


@given(REPORTS, st.randoms(use_true_random=False))
@examples(100)
def test_the_order_of_the_profiles_does_not_matter(reports: list[Any], chance: random.Random) -> None:
    shuffled = tuple(chance.sample(PROFILES, len(PROFILES)))
    assert in_order(watch(PROFILES, reports)) == in_order(watch(shuffled, reports))


@given(REPORTS, st.frozensets(st.integers(0, 25)))
@examples(100)
def test_a_restart_at_any_point_changes_nothing(reports: list[Any], restarts: frozenset[int]) -> None:
    assert watch(PROFILES, reports) == watch(PROFILES, reports, restarts)


def test_the_profiles_here_raise_and_clear_every_kind_of_alarm() -> None:
    bad = {"cpu_usage": 99.5, "aws:all-bytes-out": 300, "aws:listening-tcp-ports": (22, 4444)}
    idle = {"cpu_usage": 10, "aws:all-bytes-out": 0, "aws:listening-tcp-ports": ()}
    events = watch(PROFILES, [bad] * 8 + [idle] * 9 + [bad] * 3)
    for name in ("cpu/b", "traffic/most", "traffic/least", "ports/b"):
        kinds = [event.type for event in events if f"{event.profile}/{event.behavior}" == name]
        assert [IN_ALARM, ALARM_CLEARED] == kinds[:2], name


def test_what_was_packed_goes_by_name_when_the_profiles_change() -> None:
    alarm, _ = step(NORMAL, subject(), False, NOW, (22, 4444))
    packed = Memory(forget(["a", "b"]).histories, (alarm, NORMAL)).pack(["p/a", "p/b"])
    assert (NORMAL, NORMAL, alarm) == unpack(packed, ["p/new", "p/b", "p/a"]).states
    assert unpack(packed, ["p/b"]).states[0] is NORMAL


def test_a_normal_state_is_shared_again_after_a_restart() -> None:
    packed = Memory((History(b"window"),), (NORMAL,)).pack(["p/a"])
    memory = unpack(packed, ["p/a"])
    assert (b"window",) == memory.histories
    assert memory.states[0] is NORMAL


def test_a_thing_that_is_remembered_is_no_work_for_the_garbage_collector() -> None:
    assert not gc.is_tracked(forget(["p/a"]))
    assert not gc.is_tracked(LastReport(1, NOW))

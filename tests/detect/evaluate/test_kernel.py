"""The kernel gives the same bytes and events for the same, whenever it is called, and nothing for what comes twice."""

from __future__ import annotations

import itertools
import math
from typing import Any

import msgspec
import pytest

from defender_detect.evaluate import kernel
from defender_detect.evaluate.alarms import ALARM_CLEARED, ALARM_INVALIDATED, IN_ALARM, violation_id_of
from defender_detect.evaluate.detector import Detector, Rules
from defender_detect.evaluate.kernel import UNKNOWN, Outcome, adopt, elapse, last_report
from defender_detect.evaluate.percentiles import Population
from defender_detect.metrics import metric_values
from tests.detect.evaluate.test_detector import (
    BAD,
    DAY,
    GOOD,
    RANKED,
    SETS,
    STEP,
    SUMS,
    attach,
    cpu,
    profile,
    ranked,
    read,
)
from tests.detect.evaluate.test_silence import MINUTE, silence

NOW = 1_800_000_000.0
# A state and percentiles as version 0.1.0 kept them before there was a kernel, after one good and two bad reports.
KEPT = (
    b"\x86\xa7cpu/cpu\x92\xc4\x00\x95\x02\xcbA\xda\xd2u\x16\x00\x00\x00\xa0\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xcb\x00\x00"
    b"\x00\x00\x00\x00\x00\x00\xaasets/ports\x92\xc4\x00\x95\x00\xcbA\xda\xd2u\x16\x00\x00\x00\xd9$0b2f6b1e-7a51-4a53-9f0e-"
    b"3c9d2f6a4c11\xcbA\xda\xd2t\xcb\x00\x00\x00\xcbA\xda\xd2u\x16\x00\x00\x00\xa7sets/to\x92\xc4\x00\x95\x00\xcbA\xda\xd2u"
    b"\x16\x00\x00\x00\xd9$0b2f6b1e-7a51-4a53-9f0e-3c9d2f6a4c11\xcbA\xda\xd2t\xcb\x00\x00\x00\xcbA\xda\xd2u\x16\x00\x00\x00"
    b"\xaasets/words\x92\xc4\x00\x95\x00\xcbA\xda\xd2u\x16\x00\x00\x00\xd9$0b2f6b1e-7a51-4a53-9f0e-3c9d2f6a4c11\xcbA\xda"
    b"\xd2u\x16\x00\x00\x00\xcbA\xda\xd2u\x16\x00\x00\x00\xa8sums/out\x92\xc4(\x00\x00\x00\x80t\xd2\xdaA\x00\x00\x00\xcbt"
    b"\xd2\xdaA\x00\x00\x00\x00\x00\x00^@\x00\x00\x00\x16u\xd2\xdaA\x00\x00\x00\x00\x00\x00^@\x95\x00\xcbA\xda\xd2u\x16\x00"
    b"\x00\x00\xd9$0b2f6b1e-7a51-4a53-9f0e-3c9d2f6a4c11\xcbA\xda\xd2t\xcb\x00\x00\x00\xcbA\xda\xd2u\x16\x00\x00\x00\xa8sums"
    b"/few\x92\xc4\x18\x00\x00\x00\x80t\xd2\xdaA\x00\x00\x00\x16u\xd2\xdaA\x00\x00\x00\x00\x00\x00^@\x95\x00\xcb\xbf\xf0\x00"
    b"\x00\x00\x00\x00\x00\xa0\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xcb\x00\x00\x00\x00\x00\x00\x00\x00"
)
BEGUN = "0b2f6b1e-7a51-4a53-9f0e-3c9d2f6a4c11"  # the id of its alarms
OLD_RULES = Rules([attach(SETS), attach(SUMS), attach(cpu("cpu", 75, 3, 2)), RANKED])


def observe(state: bytes, rules: Rules, now: float, report_id: int = 1, **values: Any) -> Outcome:
    return kernel.observe(state, rules.of("a"), "a", values, report_id, now, {"r/b": 50.0})


def brief(outcome: Outcome) -> list[tuple[str, str, float]]:
    return [(event.profile, event.type, event.time) for event in outcome.events]


def test_the_same_call_gives_the_same_and_another_worker_does() -> None:
    rules = Rules([attach(cpu("p", 75)), attach(profile("r", ranked("b", "cpu", "less-than-equals", "p50")))])
    elsewhere = Rules.from_json(rules.to_json())
    first = observe(UNKNOWN, rules, NOW, cpu=80)
    assert first == observe(UNKNOWN, rules, NOW, cpu=80) == observe(UNKNOWN, elsewhere, NOW, cpu=80)
    assert [("p", IN_ALARM, NOW), ("r", IN_ALARM, NOW)] == brief(first)
    assert [violation_id_of("a", "p", "cpu", NOW), 50.0] == [first.events[0].violation_id, first.events[1].threshold]
    assert (("r/b", 80),) == first.datapoints
    second = observe(first.state, elsewhere, NOW + STEP, 2, cpu=90)
    assert ((), [90, 90]) == (second.events, [each.value for each in second.lasting])


@pytest.mark.parametrize("late", [0.0, 10.0])
def test_a_report_that_is_delivered_again_changes_nothing(late: float) -> None:
    rules = Rules([attach(cpu("p", 75, to_alarm=2)), attach(profile("r", ranked("b", "cpu", "less-than", "p50")))])
    first = observe(UNKNOWN, rules, NOW, 7, cpu=80)
    again = observe(first.state, rules, NOW - late, 7, cpu=80)
    assert Outcome(first.state, (), (), (), first.due, redelivered=True) == again
    assert (7, NOW) == last_report(again.state)
    assert [("p", IN_ALARM, NOW + 1)] == brief(observe(again.state, rules, NOW + 1, 7, cpu=80))


def test_what_judges_a_report_knows_the_last_one() -> None:
    assert last_report(UNKNOWN) is None
    assert (5, NOW) == last_report(observe(UNKNOWN, OLD_RULES, NOW, 5, cpu=80).state)


@pytest.mark.parametrize("state", [b"\xc1", b"\x80", b"\x94\x01\x02\x03\x04", b"\x91\x01"])
def test_what_is_no_state_is_said(state: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        observe(state, OLD_RULES, NOW, cpu=80)
    with pytest.raises(msgspec.DecodeError):
        elapse(state, OLD_RULES.of("a"), "a", NOW)


# Silence


def test_an_alarm_ends_two_days_after_the_report_whoever_comes_first_and_however_late() -> None:
    rules = Rules([attach(cpu("p", 75))])
    alarmed = observe(UNKNOWN, rules, NOW, cpu=80)
    assert NOW + 2 * DAY == alarmed.due
    ended = ("p", ALARM_INVALIDATED, NOW + 2 * DAY)
    too_early = elapse(alarmed.state, rules.of("a"), "a", NOW + 2 * DAY - 1)
    assert Outcome(alarmed.state, (), (), (), alarmed.due) == too_early
    for late in (0.0, 59.0, 3 * DAY):
        looked = elapse(alarmed.state, rules.of("a"), "a", NOW + 2 * DAY + late)
        assert (UNKNOWN, [ended], None) == (looked.state, brief(looked), looked.due)
        arrived = observe(alarmed.state, rules, NOW + 2 * DAY + late, 2, cpu=80)
        assert [ended, ("p", IN_ALARM, NOW + 2 * DAY + late)] == brief(arrived)
    assert None is observe(alarmed.state, rules, NOW + STEP, 2, cpu=5).due


def test_a_silence_counts_at_its_time_whether_a_timer_fires_then_or_later_or_a_report_comes_first() -> None:
    rules = Rules([attach(silence()), attach(silence(20, name="slow", consecutiveDatapointsToAlarm=3))])
    first = observe(UNKNOWN, rules, NOW, cpu=1)
    begun = [("silence", IN_ALARM, NOW + 16 * MINUTE), ("slow", IN_ALARM, NOW + 31 * MINUTE)]
    assert NOW + 16 * MINUTE == first.due
    state, due, found, timers = first.state, first.due, [], 0
    while due is not None and due < NOW + DAY:
        outcome = elapse(state, rules.of("a"), "a", due)
        assert outcome.due is None or outcome.due > due
        state, due, timers = outcome.state, outcome.due, timers + 1
        found += brief(outcome)
    assert begun == found
    assert timers <= 24 * 60 / 15
    late = elapse(first.state, rules.of("a"), "a", NOW + DAY)
    assert (begun, due) == (brief(late), late.due)
    assert {each.value for each in late.lasting} <= set(range(24 * 60 - 61, 24 * 60 + 1))
    cleared = [("silence", ALARM_CLEARED, NOW + DAY), ("slow", ALARM_CLEARED, NOW + DAY)]
    assert cleared == brief(observe(late.state, rules, NOW + DAY, 2, cpu=1))
    assert [*begun, *cleared] == brief(observe(first.state, rules, NOW + DAY, 2, cpu=1))


# Other rules


@pytest.mark.parametrize("knows", [True, False])
def test_an_alarm_of_a_behavior_that_is_gone_ends_when_the_rules_changed(knows: bool) -> None:
    before, after = Rules([attach(cpu("p", 75)), attach(cpu("q", 75))]), Rules([attach(cpu("q", 75))])
    alarmed = observe(UNKNOWN, before, NOW, cpu=80)
    if knows:
        after.succeed(before, NOW + 60)
    after = Rules.from_json(after.to_json())
    reported = observe(alarmed.state, after, NOW + STEP, 2, cpu=80)
    looked = elapse(alarmed.state, after.of("a"), "a", NOW + STEP)
    ended = ("p", ALARM_INVALIDATED, NOW + 60 if knows else NOW + STEP)
    assert [ended] == brief(reported) == brief(looked)
    (event,) = reported.events
    expected = ("cpu", {"number": 75}) if knows else ("", None)
    assert expected == (event.metric, event.criteria.get("value"))
    assert alarmed.events[0].violation_id == event.violation_id
    assert () == observe(reported.state, after, NOW + 2 * STEP, 3, cpu=80).events
    silent = elapse(alarmed.state, after.of("a"), "a", NOW + 3 * DAY)
    assert {("p", ended[2] if knows else NOW + 2 * DAY), ("q", NOW + 2 * DAY)} == {
        (each.profile, each.time) for each in silent.events
    }


def test_a_new_behavior_about_silence_blames_nobody_for_a_time_before_it_was_there() -> None:
    before, after = Rules([attach(cpu("p", 75))]), Rules([attach(cpu("p", 75)), attach(silence())])
    first = observe(UNKNOWN, before, NOW, cpu=1)
    assert None is first.due
    after.succeed(before, NOW + 60 * MINUTE)
    found = elapse(first.state, after.of("a"), "a", NOW + 90 * MINUTE)
    assert [("silence", IN_ALARM, NOW + 60 * MINUTE)] == brief(found)


# What is kept


def test_what_a_single_process_of_an_earlier_release_kept_goes_on_in_an_engine() -> None:
    good, later = metric_values(read(**GOOD)), NOW + 3 * STEP
    one = Detector(OLD_RULES)
    one.restore("rpi-1", KEPT, NOW + 2 * STEP, later, 3)
    expected = one.observe_values("rpi-1", good, later, 4)
    assert expected is not None
    state = adopt(3, NOW + 2 * STEP, KEPT)
    assert (3, NOW + 2 * STEP) == last_report(state)
    outcome = kernel.observe(state, OLD_RULES.of("rpi-1"), "rpi-1", good, 4, later)
    assert list(expected.events) == list(outcome.events)
    cleared = {(event.profile, event.behavior, event.violation_id, event.type) for event in outcome.events}
    assert {("sets", name, BEGUN, ALARM_CLEARED) for name in ("ports", "to", "words")} == cleared
    assert adopt(4, later, expected.state) == outcome.state
    assert () == kernel.observe(adopt(3, NOW, None), OLD_RULES.of("b"), "b", good, 4, later).events


def test_ten_behaviors_with_windows_of_an_hour_take_at_most_750_bytes() -> None:
    """As `make bench-detect` measures it for its profile; here with every window full, and two alarms."""
    windows = [("few", 300), ("more", 900), ("hour", 3600), ("in", 300)]
    sums = [
        {"name": name, "metric": "aws:all-bytes-out", "criteria": {
            "comparisonOperator": "less-than", "value": {"count": 10**9}, "durationSeconds": seconds}}
        for name, seconds in windows
    ]  # fmt: skip
    others = [*SETS.document["behaviors"], cpu("x", 75).document["behaviors"][0]]
    more = [{**others[-1], "name": f"cpu-{number}"} for number in range(2)]
    rules = Rules([attach(profile("ten", *sums, *others, *more))])
    state, report_ids = UNKNOWN, itertools.count(1_700_000_000)
    values = metric_values(read(**BAD))
    for turn in range(30):
        outcome = kernel.observe(state, rules.of("a"), "a", {**values, "cpu": 5}, next(report_ids), NOW + STEP * turn)
        state = outcome.state
    assert 10 == len(rules.of("a").rules)
    assert len(state) <= 750, len(state)


def test_percentiles_that_an_earlier_release_kept_go_on() -> None:
    """21 datapoints of which it kept every fourth; the smallest and the largest are exact."""
    kept = (
        b"\x99\xa3p50\xcb@r\xc0\x00\x00\x00\x00\x00\x03\xc0\x15\x04\x96\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xcb@\x10\x00"
        b"\x00\x00\x00\x00\x00\xcb@ \x00\x00\x00\x00\x00\x00\xcb@(\x00\x00\x00\x00\x00\x00\xcb@0\x00\x00\x00\x00\x00"
        b"\x00\xcb@4\x00\x00\x00\x00\x00\x00\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xcb@4\x00\x00\x00\x00\x00\x00"
    )
    population = msgspec.msgpack.decode(kept, type=Population)
    assert (24, 0.0, 20.0) == (len(population.sketch), population.sketch.least, population.sketch.most)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(population), type=Population)
    assert again == population
    assert 8.0 == again.advance(1230.0)
    assert math.isinf(again.sketch.least)

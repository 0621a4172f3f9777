"""A thing that falls silent is in alarm until it reports, and nobody looks at all things for that."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from defender_detect.ask.replay import Recorded, replay
from defender_detect.evaluate.alarms import ALARM_CLEARED, ALARM_INVALIDATED, IN_ALARM, Event
from defender_detect.evaluate.detector import Detector, Finding
from defender_detect.evaluate.sentences import line_of
from defender_detect.evaluate.silence import AGAIN, DATAPOINT, Watch
from defender_detect.profiles import Profile, parse_profile
from tests.detect.evaluate.test_detector import (
    DAY,
    NOW,
    attach,
    behavior,
    brief,
    cpu,
    detector,
    observe,
    profile,
    read,
    report,
)

MINUTE = 60.0


def silence(minutes: int = 15, operator: str = "less-than-equals", name: str = "silence", **more: Any) -> Profile:
    return profile(name, behavior("regular", "aws:disconnect-duration", operator, {"count": minutes}, **more))


def found(detect: Detector, now: float) -> list[tuple[str, str, str]]:
    return brief(detect.find_silent(now))


def test_a_thing_that_falls_silent_is_in_alarm_until_it_reports() -> None:
    detect = detector(attach(silence()))
    observe(detect, "a", report(cpu=1), NOW)
    observe(detect, "b", report(cpu=1), NOW + 10 * MINUTE)
    assert [] == found(detect, NOW + 16 * MINUTE - 1)
    (alarm,) = detect.find_silent(NOW + 16 * MINUTE)
    assert [("a", "silence", IN_ALARM)] == brief(alarm)
    (event,) = alarm.events
    expected = "a: in-alarm: has not reported for 16 minutes, normal is at most 15 minutes (regular of silence)"
    assert (NOW + 16 * MINUTE, 16, "count", expected) == (event.time, event.value, event.kind, line_of(event))
    assert alarm.values is None  # it is no report
    assert [] == found(detect, NOW + 17 * MINUTE)
    cleared = observe(detect, "a", report(cpu=1), NOW + 20 * MINUTE)
    assert [("a", "silence", ALARM_CLEARED)] == brief(cleared)
    assert "a: alarm-cleared: reports again (regular of silence)" == line_of(cleared.events[0])
    assert [("b", "silence", IN_ALARM)] == found(detect, NOW + 26 * MINUTE)
    assert [("a", "silence", IN_ALARM)] == found(detect, NOW + 36 * MINUTE)


@pytest.mark.parametrize(("operator", "first"), [("less-than", 15), ("less-than-equals", 16)])
def test_a_limit_is_in_whole_minutes(operator: str, first: int) -> None:
    detect = detector(attach(silence(15, operator)))
    observe(detect, "a", report(), NOW)
    assert [] == found(detect, NOW + first * MINUTE - 0.01)
    assert [first] == [event.value for each in detect.find_silent(NOW + first * MINUTE) for event in each.events]


def test_a_thing_that_reports_on_time_is_never_in_alarm_and_looked_at_seldom() -> None:
    detect, looks = detector(attach(silence())), 0
    take = detect._watch.take

    def counted(now: float) -> Any:
        nonlocal looks
        for each in take(now):
            looks += 1
            yield each

    detect._watch.take = counted  # type: ignore[method-assign]
    for minute in range(24 * 60):
        if minute % 5 == 0:
            for number in range(10):
                assert not observe(detect, str(number), report(), NOW + minute * MINUTE).events
        assert [] == found(detect, NOW + minute * MINUTE)
    assert looks <= 10 * 24 * 60 / 10  # one in ten minutes for each, whatever is reported


def test_two_behaviors_with_other_limits_and_other_counts() -> None:
    slow = silence(30, name="slow", consecutiveDatapointsToAlarm=3, consecutiveDatapointsToClear=2)
    detect = detector(attach(silence()), attach(slow), attach(cpu("p", 50)))
    observe(detect, "a", report(cpu=99), NOW)
    times = {}
    for minute in range(60):
        for event in (event for each in detect.find_silent(NOW + minute * MINUTE) for event in each.events):
            times[event.profile] = (event.time - NOW) / MINUTE
    assert {"silence": 16, "slow": 31 + 2 * DATAPOINT / MINUTE} == times
    now = NOW + 60 * MINUTE
    assert [("silence", ALARM_CLEARED)] == [each[1:] for each in brief(observe(detect, "a", report(cpu=99), now))]
    assert [("slow", ALARM_CLEARED)] == [each[1:] for each in brief(observe(detect, "a", report(cpu=99), now + 300))]


def test_a_thing_that_reports_after_the_clock_was_set_back_by_days_is_missed_at_once_when_it_falls_silent() -> None:
    detect = detector(attach(silence()))
    detect.observe_values("a", {}, NOW + 3 * DAY, 1)
    detect.observe_values("a", {}, NOW, 2)
    assert [("a", "silence", IN_ALARM)] == found(detect, NOW + 16 * MINUTE)


def test_a_silence_that_lasts_is_shown_with_its_newest_value_and_ends_after_two_days() -> None:
    detect = detector(attach(silence()))
    observe(detect, "a", report(), NOW)
    (begun,) = detect.find_silent(NOW + 16 * MINUTE)
    lasting = [each for now in range(int(NOW), int(NOW + 2 * AGAIN), 60) for each in detect.find_silent(now)]
    assert [32, 48, 64, 80, 96, 112] == [each.lasting[0].value for each in lasting]
    assert {begun.events[0].violation_id} == {each.lasting[0].violation_id for each in lasting}
    assert [("a", "silence", ALARM_INVALIDATED)] == brief(detect.expire(NOW + 2 * DAY))
    assert [] == found(detect, NOW + 3 * DAY)


def test_a_restart_goes_on_and_excuses_what_nobody_could_hear() -> None:
    first = detector(attach(silence()))
    observe(first, "a", report(), NOW)
    observe(first, "b", report(), NOW + 30 * MINUTE)
    (alarm,) = first.find_silent(NOW + 31 * MINUTE)
    back = NOW + 10 * 60 * MINUTE
    second = detector(attach(silence()))
    second.restore("a", alarm.state, NOW, back)
    second.restore("b", first.pack("b"), NOW + 30 * MINUTE, back)
    second.excuse(back - (NOW + 30 * MINUTE))
    assert second.follows("a", alarm.events[0].violation_id)
    assert [] == found(second, back + 1)
    assert [("b", "silence", IN_ALARM)] == found(second, back + 16 * MINUTE)
    assert [("a", "silence", ALARM_CLEARED)] == brief(observe(second, "a", report(), back + 20 * MINUTE))


def test_a_profile_that_comes_with_a_reload_is_for_the_things_that_are_known() -> None:
    detect = detector(attach(cpu("p", 50)))
    observe(detect, "a", report(), NOW)
    with_silence = detector(attach(cpu("p", 50)), attach(silence())).rules
    detect.replace(with_silence, NOW + MINUTE)
    assert [("a", "silence", IN_ALARM)] == found(detect, NOW + 16 * MINUTE)
    assert [("a", "silence", ALARM_INVALIDATED)] == brief(detect.replace(detector(attach(cpu("p", 50))).rules, NOW))
    assert [] == found(detect, NOW + DAY)


def test_a_replay_has_silence_at_its_time_and_none_after_the_last_report() -> None:
    detect, read = detector(attach(silence())), report(cpu=1)
    times = {"a": (0, 5, 60), "b": (0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70)}
    recorded = [Recorded(NOW + minute * MINUTE, thing, read) for thing in times for minute in times[thing]]
    events = list(replay(detect, sorted(recorded, key=lambda each: each.time)))
    assert [("a", IN_ALARM, 21), ("a", ALARM_CLEARED, 60)] == [
        (event.thing, event.type, (event.time - NOW) / MINUTE) for event in events
    ]


@pytest.mark.parametrize("minutes", [16, 32, 48])
def test_a_report_at_the_very_time_of_a_look_ends_the_alarm(minutes: int) -> None:
    read = report(cpu=1)
    recorded = [Recorded(NOW + minute * MINUTE, "a", read) for minute in (0, minutes)]
    events = list(replay(detector(attach(silence())), recorded))
    assert [(IN_ALARM, 16), (ALARM_CLEARED, minutes)] == [(each.type, (each.time - NOW) / MINUTE) for each in events]


@pytest.mark.parametrize("seed", range(20))
def test_every_gap_that_is_too_long_is_an_alarm_and_no_other_over_restarts(seed: int) -> None:
    """Three things report at random, in whole minutes; what is expected follows from the gaps alone."""
    chance, limit = random.Random(seed), 16
    times = {thing: sorted(chance.sample(range(400), 25)) for thing in "abc"}
    end = max(map(max, times.values()))
    expected = set()
    for thing, minutes in times.items():
        for before, after in zip(minutes, [*minutes[1:], 10**6]):
            if after - before >= limit and before + limit <= end:
                expected.add((thing, IN_ALARM, before + limit))
                if after <= end:
                    expected.add((thing, ALARM_CLEARED, after))
    reports = sorted((minute, thing) for thing, minutes in times.items() for minute in minutes)
    detect, found, last = detector(attach(silence(limit - 1))), set(), {}
    for minute, thing in reports:
        now = NOW + minute * MINUTE
        if chance.random() < 0.1:
            packed = [(reported, other, detect.pack(other)) for other, reported in last.items()]
            detect = detector(attach(silence(limit - 1)))
            for reported, other, state in sorted(packed):
                detect.restore(other, state, reported, now)
        findings = [*detect.find_silent(now), observe(detect, thing, report(), now)]
        last[thing] = now
        found |= {(each.thing, each.type, round((each.time - NOW) / MINUTE)) for each in events_of(findings)}
    assert expected == found


def events_of(findings: Iterable[Finding]) -> list[Event]:
    return [event for finding in findings for event in finding.events]


def test_a_clock_that_was_set_back_leaves_nobody_unwatched_for_longer_than_that() -> None:
    detect = detector(attach(silence()))
    observe(detect, "a", report(), NOW + DAY)
    assert [] == found(detect, NOW)
    detect.excuse(-DAY)
    assert [] == found(detect, NOW + 17 * MINUTE)
    observe(detect, "a", read(header={"report_id": 2, "version": "1.0"}, metrics={}), NOW + 20 * MINUTE)
    assert [("a", "silence", IN_ALARM)] == found(detect, NOW + 60 * MINUTE)


def test_a_watch_has_each_thing_once() -> None:
    watch = Watch()
    for due in (5.0, 3.0, 4.0):
        watch.put("a", due)
    watch.put("b", 1.0)
    assert "a" in watch
    assert [("b", 1.0), ("a", 4.0)] == list(watch.take(10.0))
    assert "a" not in watch
    watch.put("a", 4.0)
    watch.put_off(10)
    assert [] == list(watch.take(13.9))
    assert [("a", 14.0)] == list(watch.take(14.0))


@pytest.mark.parametrize(
    ("criteria", "reason"),
    [
        ({"statisticalThreshold": {"statistic": "p90"}, "durationSeconds": 300}, "there are no percentiles; say how"),
        ({"value": {"count": 2880}}, "nothing is remembered for 2880 minutes, only for less than 2880"),
    ],
)
def test_what_cannot_be_said_of_silence_is_not_evaluated_and_said(criteria: dict[str, Any], reason: str) -> None:
    rule = {"comparisonOperator": "less-than-equals", **criteria}
    found = parse_profile(
        {
            "securityProfileName": "p",
            "behaviors": [{"name": "b", "metric": "aws:disconnect-duration", "criteria": rule}],
            "additionalMetricsToRetain": ["aws:disconnect-duration"],
        }
    )
    assert () == found.behaviors
    assert reason in found.left_to_aws[0]
    assert "is not kept here: aws:disconnect-duration follows from the times of the reports" in found.left_to_aws[1]

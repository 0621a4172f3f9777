"""Reports go out soon after the start, never faster than the interval, and a fleet's are spread over it."""

from __future__ import annotations

import random

import pytest

from defender_publisher.schedule import Schedule, patience_for
from defender_publisher.settings import read_settings


def test_the_first_report_goes_out_within_ten_seconds() -> None:
    delays = [Schedule(f"thing-{number}", 300).first_delay(None) for number in range(200)]
    assert 0 <= min(delays)
    assert max(delays) <= 10


@pytest.mark.parametrize(("since_last", "expected"), [(0.0, 300.0), (100.0, 200.0)])
def test_after_a_restart_the_first_report_keeps_the_interval(since_last: float, expected: float) -> None:
    assert expected == Schedule("thing", 300).first_delay(since_last)


@pytest.mark.parametrize("since_last", [-5.0, 300.0, 1e9])
def test_a_last_report_long_ago_or_in_the_future_delays_nothing(since_last: float) -> None:
    assert Schedule("thing", 300).first_delay(since_last) <= 10


@pytest.mark.parametrize("interval", [5, 60, 300, 3600])
@pytest.mark.parametrize("late", [0.0, 0.02, 0.5])
def test_turns_are_never_shorter_than_the_interval_nor_a_tenth_longer(interval: int, late: float) -> None:
    schedule, now = Schedule("thing", interval), 1_000_000.0
    for _ in range(100):
        gap = schedule.gap_after(now)
        assert interval <= gap <= schedule.cycle * 1.1 + 1e-6
        now += gap + random.uniform(0, late)


def test_a_device_comes_to_its_phase_within_ten_turns_and_stays_there() -> None:
    schedule, now = Schedule("thing", 300), 1_000_000.0
    distances = []
    for _ in range(200):
        now += schedule.gap_after(now) + 0.3  # collecting takes time too
        distances.append((now - schedule.phase) % schedule.cycle)
    assert max(distances[12:]) < schedule.cycle * 0.1


def test_a_fleet_that_starts_at_once_is_spread_over_the_whole_interval() -> None:
    sent: dict[str, float] = {}
    for number in range(300):
        schedule = Schedule(f"rpi-{number:04}", 300)
        now = 1_000_000.0 + schedule.first_delay(None)
        for _ in range(15):
            now += schedule.gap_after(now)
        sent[f"rpi-{number:04}"] = now % schedule.cycle
    tenths = [sum(1 for when in sent.values() if index <= when / 30.1 < index + 1) for index in range(10)]
    assert min(tenths) >= 10


def test_the_phase_of_a_thing_never_changes() -> None:
    assert Schedule("rpi-0001", 300).phase == Schedule("rpi-0001", 300).phase
    assert Schedule("rpi-0001", 300).phase != Schedule("rpi-0002", 300).phase


def test_patience_is_two_intervals_and_never_less_than_a_turn_may_take() -> None:
    def patience(interval: int, **custom_metrics: object) -> float:
        agent = {"dry_run": True, "publish_interval": interval, "allow_short_interval": True}
        return patience_for(read_settings(None, {"agent": agent, "custom_metrics": custom_metrics}).config)

    assert 600.0 == patience(300)
    assert 60.0 == patience(5)
    assert 110.0 == patience(5, x={"command": ["x"], "type": "number", "timeout": 50}, cpu_usage={})

"""How long a device waits until it connects again."""

from __future__ import annotations

import random

import pytest

from defender_daemon.backoff import STABLE_AFTER, Backoff


def longest_waits(backoff: Backoff, turns: int) -> list[float]:
    """Return the longest of many draws for the 1st, 2nd ... attempt that fails in a row."""
    longest = []
    for turn in range(turns):
        waits = []
        for _ in range(300):
            backoff.failures = turn
            waits.append(backoff.failed())
        assert min(waits) >= 1
        assert len({round(each, 6) for each in waits}) > 200
        longest.append(max(waits))
    return longest


def test_waits_double_are_jittered_and_stay_below_the_interval() -> None:
    longest = longest_waits(Backoff(300, random.Random(3)), 20)
    assert longest[0] <= 2
    assert 3 < longest[1] <= 4
    assert 240 < longest[-1] <= 270


def test_waits_never_exceed_five_minutes() -> None:
    assert 270 < longest_waits(Backoff(3600, random.Random(3)), 20)[-1] <= 300


@pytest.mark.parametrize("interval", [0.5, 1.0, 1.2])
def test_waits_are_a_second_at_least_whatever_the_interval(interval: float) -> None:
    backoff = Backoff(interval)
    assert {1.0} == {backoff.failed() for _ in range(10)} or interval > 1.1
    assert all(1.0 <= backoff.failed() <= 1.08 for _ in range(10))


def test_a_connection_that_lasted_makes_the_next_wait_short_again() -> None:
    backoff = Backoff(300, random.Random(3))
    for _ in range(10):
        backoff.failed()
    assert 10 == backoff.connected()
    assert backoff.lost_after(STABLE_AFTER) <= 2
    assert 0 == backoff.connected()


def test_connections_that_do_not_last_make_the_waits_longer() -> None:
    backoff = Backoff(300, random.Random(3))
    for _ in range(10):
        backoff.connected()
        backoff.lost_after(1.0)
    assert 10 == backoff.failures
    assert max(backoff.lost_after(1.0) for _ in range(20)) > 100

"""A notice is logged once a minute for each of those who cause it, with how often it was."""

from __future__ import annotations

import logging

import pytest

from defender_detect.receive.notices import MOST, Notices
from tests.detect.receive.test_receiver import Clock

log = logging.getLogger("tests.notices")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notices(clock: Clock) -> Notices:
    return Notices(log, clock=clock)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_the_same_again_is_counted_and_said_a_minute_later(
    notices: Notices, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1_000):
        notices.say("evil", f"evil: bad packet {number}")
    assert ["evil: bad packet 0"] == lines(caplog)
    clock.now += 60
    notices.tell_repeats()
    assert ["evil: bad packet 0", "evil: bad packet 999 (999 times in 60 s)"] == lines(caplog)
    clock.now += 60
    notices.say("evil", "evil: again")
    assert "evil: again" == lines(caplog)[-1]


def test_another_one_is_logged_at_once(notices: Notices, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b", "a"):
        notices.say(name, name)
    assert ["a", "b"] == lines(caplog)


def test_many_different_ones_are_a_bounded_number_of_lines(
    notices: Notices, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(100_000):
        notices.say(number, f"{number}: made up")
    assert MOST + 1 == len(caplog.records)
    clock.now += 60
    notices.tell_repeats()
    assert [f"99999: made up ({99_999 - MOST} times in 60 s)"] == lines(caplog)[MOST + 1 :]
    clock.now += 60
    notices.say("a", "a")
    assert "a" == lines(caplog)[-1]


def test_a_fault_of_ours_has_its_traceback_once(notices: Notices, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        notices.say("fault", "cannot be served", ValueError("x"))
    assert [ValueError] == [record.exc_info[0] for record in caplog.records if record.exc_info]


def test_a_message_with_percent_signs_is_logged_as_it_is(notices: Notices, caplog: pytest.LogCaptureFixture) -> None:
    notices.say("evil", "%s %d %n 100%")
    assert ["%s %d %n 100%"] == lines(caplog)

"""A ladder is climbed rung by rung, never hangs, and stops at the first rung that fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import pytest

from defender_daemon.ladder import (
    DOUBT,
    FAIL,
    NOT_TRIED,
    OK,
    Doubted,
    Failed,
    NotTried,
    OverdueError,
    Rung,
    Step,
    climb,
    is_well,
    within,
)
from tests.waiting import PATIENCE


class Case:
    unneeded: Mapping[str, str] = {}


@pytest.fixture
def case() -> Case:
    return Case()


def failing(error: Exception) -> Callable[[Case], str]:
    def attempt(case: Case) -> str:
        raise error

    return attempt


def test_each_check_is_known_before_the_next_is_tried(case: Case) -> None:
    tried = []
    steps = climb(
        [Rung("a", lambda case: tried.append("a") or "A"), Rung("b", lambda case: tried.append("b") or "B")], case
    )
    assert Step("a", OK, "A") == next(steps)
    assert ["a"] == tried
    assert [Step("b", OK, "B")] == list(steps)


def test_after_a_check_that_failed_none_is_tried(case: Case) -> None:
    rungs = [Rung("a", failing(Failed("broken", "mend it"))), Rung("b", failing(AssertionError())), Rung("c", str)]
    assert [Step("a", FAIL, "broken", "mend it"), Step("b", NOT_TRIED), Step("c", NOT_TRIED)] == list(
        climb(rungs, case)
    )


def test_a_check_that_cannot_be_judged_stops_nobody(case: Case) -> None:
    rungs = [Rung("a", failing(NotTried("too early"))), Rung("b", lambda case: "B")]
    assert [Step("a", NOT_TRIED, "too early"), Step("b", OK, "B")] == list(climb(rungs, case))


def test_a_check_in_doubt_stops_nobody(case: Case) -> None:
    rungs = [Rung("a", failing(Doubted("odd", "look at it"))), Rung("b", lambda case: "B")]
    assert [Step("a", DOUBT, "odd", "look at it"), Step("b", OK, "B")] == list(climb(rungs, case))


def test_a_failure_that_an_accepted_report_contradicts_is_a_doubt_and_the_daemon_is_asked_next(case: Case) -> None:
    rungs = [
        Rung("a", failing(Failed("broken", "repair it"))),
        Rung("b", failing(AssertionError())),
        Rung("report", lambda case: "accepted", witnessed=True),
    ]
    steps = list(climb(rungs, case, overruling=lambda case: "report 7 was accepted, so this does not matter"))
    says = "broken\nbut report 7 was accepted, so this does not matter"
    assert [Step("a", DOUBT, says, "repair it"), Step("b", NOT_TRIED), Step("report", OK, "accepted")] == steps


def test_a_report_that_fails_is_overruled_by_nothing(case: Case) -> None:
    rungs = [Rung("report", failing(Failed("no", "do")), witnessed=True)]
    assert [Step("report", FAIL, "no", "do")] == list(climb(rungs, case, overruling=lambda case: "an old one"))


def test_what_a_broker_says_does_nothing_to_the_terminal() -> None:
    assert "\x1b" not in str(Step("report", FAIL, "rejected: \x1b[2J", "read \x07 it"))


def test_a_check_that_hangs_fails_when_its_time_is_over(case: Case) -> None:
    release = threading.Event()
    rung = Rung("a", lambda case: release.wait() and "", "look at the clock", longest=0.1)
    (step,) = climb([rung], case)
    release.set()
    assert (FAIL, "look at the clock") == (step.verdict, step.advice)


def test_a_check_that_breaks_fails_and_names_the_error(case: Case) -> None:
    (step,) = climb([Rung("a", failing(KeyError("x")))], case)
    assert (FAIL, "unforeseen KeyError: 'x'") == (step.verdict, step.says)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Step("DNS", OK, "10.0.0.1"), "OK    DNS                   10.0.0.1"),
        (Step("DNS", NOT_TRIED), "-     DNS"),
        (Step("DNS", NOT_TRIED, "later"), "-     DNS                   later"),
        (
            Step("DNS", FAIL, "one\ntwo", "do it"),
            "FAIL  DNS                   one\n                            two\n                            -> do it",
        ),
    ],
)
def test_a_step_is_a_line_and_a_failure_says_below_it_what_to_do(step: Step, expected: str) -> None:
    assert expected == str(step)


def test_what_ends_in_time_gives_its_answer_or_its_error() -> None:
    assert 1 == within(PATIENCE, lambda: 1)
    with pytest.raises(ZeroDivisionError):
        within(PATIENCE, lambda: 1 / 0)
    release = threading.Event()
    with pytest.raises(OverdueError, match="did not end within 0 s"):
        within(0.05, release.wait)
    release.set()


@pytest.mark.parametrize(
    ("verdicts", "well"),
    [
        ([OK, OK], True),
        ([DOUBT, OK], True),
        ([DOUBT, NOT_TRIED], False),
        ([DOUBT, FAIL], False),
        ([OK, NOT_TRIED], True),
        ([FAIL, OK], False),
    ],
)
def test_what_is_in_doubt_is_well_once_the_last_check_passed(verdicts: list[str], well: bool) -> None:
    assert well == is_well([Step("a rung", verdict) for verdict in verdicts])

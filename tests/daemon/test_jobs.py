"""timeloop runs a job after its first interval, then as its run says, and an exception ends nothing."""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import timeloop

from defender_daemon import jobs as jobs_module
from tests.publisher.test_daemon import Beats, Publisher, Transport
from tests.waiting import outcome, wait_until

LONG = 3600.0  # seconds until what is not to happen during a test


@pytest.fixture
def beats() -> Beats:
    return Beats()


@pytest.fixture
def started() -> Iterator[list[Any]]:
    """The jobs that a test started; they are ended after it."""
    jobs: list[Any] = []
    yield jobs
    jobs_module.stop_jobs(jobs, 2.0)


@pytest.fixture
def start_job(started: list[Any], beats: Beats) -> Callable[..., Any]:
    """Start one job that runs `step` as the publisher's jobs run."""

    def start_job(step: Callable[[], float], first: float = 0.0) -> Any:
        loop = timeloop.Timeloop()
        loop.logger.handlers.clear()
        jobs_module.add_job(loop, beats, step, first=first)
        loop.start(block=False)
        started.extend(loop.jobs)
        return loop.jobs[0]

    return start_job


@pytest.fixture
def start_all(publisher_script: ModuleType, started: list[Any], beats: Beats) -> Callable[..., list[Any]]:
    """Start the publisher's jobs, of a publisher and a transport that do nothing unless others are given."""

    def start_all(publisher: Publisher | None = None, transport: Transport | None = None) -> list[Any]:
        jobs = list(publisher_script.start_jobs(publisher or Publisher(), transport or Transport(), beats))
        started.extend(jobs)
        return jobs

    return start_all


def test_a_job_waits_each_time_for_as_long_as_its_run_returned(start_job: Callable[..., Any]) -> None:
    began: list[float] = []
    waits = iter([0.6, 0.0, 0.3, LONG])

    def step() -> float:
        began.append(time.monotonic())
        return next(waits)

    job = start_job(step, first=0.0)
    assert wait_until(lambda: len(began) == 4)
    gaps = [later - earlier for earlier, later in zip(began, began[1:])]
    assert gaps[0] >= 0.6
    assert gaps[2] >= 0.3
    assert wait_until(lambda: job.interval == datetime.timedelta(seconds=LONG))


def test_a_ring_brings_the_next_turn_forward_once(started: list[Any], beats: Beats) -> None:
    loop = timeloop.Timeloop()
    loop.logger.handlers.clear()
    turns: list[float] = []

    def step() -> float:
        turns.append(time.monotonic())
        return LONG

    ring = jobs_module.add_job(loop, beats, step, first=LONG)
    loop.start(block=False)
    started.extend(loop.jobs)
    assert not turns
    ring()
    assert wait_until(lambda: len(turns) == 1)
    ring()
    assert wait_until(lambda: len(turns) == 2)
    time.sleep(0.1)
    assert 2 == len(turns)


def test_a_wait_that_is_over_is_not_waited_for_again(start_job: Callable[..., Any]) -> None:
    waits = iter([0.0, 0.0, LONG])
    job = start_job(lambda: next(waits))
    assert wait_until(lambda: job.interval == datetime.timedelta(seconds=LONG))


def test_a_run_that_takes_long_makes_the_wait_until_the_next_shorter(start_job: Callable[..., Any]) -> None:
    intervals: list[float] = []
    jobs: list[Any] = []
    waits = iter([0.1, 0.05, LONG])

    def step() -> float:
        wait_until(lambda: jobs)
        intervals.append(jobs[0].interval.total_seconds())
        time.sleep(0.2)
        return next(waits)  # what is left of its time

    jobs.append(start_job(step, first=0.3))
    assert wait_until(lambda: len(intervals) == 3)
    assert [0.3, 0.1, 0.05] == intervals  # and nothing of the time that the runs took


@pytest.mark.parametrize("error", [RuntimeError("unforeseen"), ValueError("another"), OSError(24, "too many files")])
def test_a_job_that_fails_is_logged_with_its_traceback_and_runs_again(
    start_job: Callable[..., Any], caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch, error: Exception,
) -> None:  # fmt: skip
    monkeypatch.setattr(jobs_module, "AFTER_UNFORESEEN", 0.1)
    runs: list[int] = []

    def step() -> float:
        runs.append(1)
        if len(runs) < 3:
            raise error
        return LONG

    job = start_job(step)
    assert wait_until(lambda: len(runs) == 3)
    assert job.is_alive()
    logged = [each for each in caplog.records if each.exc_info and each.exc_info[1] is error]
    assert logged
    assert {logging.ERROR} == {each.levelno for each in logged}
    assert "step" in logged[0].getMessage()


def test_a_job_that_fails_is_not_tried_again_at_once() -> None:
    assert 10 <= jobs_module.AFTER_UNFORESEEN <= 300


def test_a_job_leaves_a_heartbeat_at_the_start_and_after_each_run_but_not_after_one_that_failed(
    start_job: Callable[..., Any], beats: Beats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "AFTER_UNFORESEEN", 0.0)
    turns = iter([0.01, RuntimeError("unforeseen"), 0.02, RuntimeError("unforeseen"), LONG])

    def step() -> float:
        turn = next(turns)
        if isinstance(turn, Exception):
            raise turn
        return turn

    start_job(step, first=0.1)
    assert wait_until(lambda: LONG in beats.due_in)
    assert [0.1, 0.01, 0.02, LONG] == beats.due_in


class HangingJob:
    """A job that does not end, and remembers how long it was waited for."""

    def __init__(self, clock: list[float]) -> None:
        self.stopped = threading.Event()
        self.waited: list[float] = []
        self._clock = clock

    def join(self, timeout: float) -> None:
        self.waited.append(timeout)
        self._clock[0] += timeout


def test_jobs_that_hang_hold_up_the_stop_for_five_seconds_at_most(
    publisher_script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    jobs = [HangingJob(clock) for _ in range(3)]
    jobs_module.stop_jobs(jobs, publisher_script.STOP_WITHIN)
    monkeypatch.undo()
    assert publisher_script.STOP_WITHIN <= 5
    assert publisher_script.STOP_WITHIN == sum(sum(each.waited) for each in jobs)  # together, not one after the other
    assert all(each.stopped.is_set() for each in jobs)


def test_jobs_that_sleep_stop_at_once(start_job: Callable[..., Any]) -> None:
    jobs = [start_job(lambda: LONG) for _ in range(3)]
    time.sleep(0.1)
    assert None is outcome(lambda: jobs_module.stop_jobs(jobs, LONG))
    assert not any(each.is_alive() for each in jobs)


def test_a_job_that_hangs_does_not_keep_the_process_alive(start_all: Callable[..., list[Any]]) -> None:
    assert [True] * 3 == [each.daemon for each in start_all()]

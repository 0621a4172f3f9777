"""A follower works after something changed and when it is due, says when it fails, and ends when it is told to."""

from __future__ import annotations

import threading

import pytest

from defender_detect.alerts.followers import Worker
from defender_detect.errors import AlertError
from tests.waiting import FOR_EVER, PATIENCE, wait_until


class Work:
    """Counts how often it is done, and fails as its script says."""

    def __init__(self, wait: float = FOR_EVER, *script: Exception | None) -> None:
        self.wait, self.script, self.done = wait, list(script), 0

    def __call__(self) -> float:
        error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error
        self.done += 1
        return self.wait


def wake(worker: Worker) -> None:
    with worker.changed:
        worker.wake()


def test_it_works_at_once_after_a_change_and_when_it_is_due() -> None:
    work = Work()
    worker = Worker("x", work, 0.0)
    worker.start()
    assert wait_until(lambda: work.done == 1)
    wake(worker)
    assert wait_until(lambda: work.done == 2)
    worker.close(PATIENCE)
    often = Work(0.001)
    worker = Worker("x", often, 0.0)
    worker.start()
    assert wait_until(lambda: often.done > 5)
    worker.close(PATIENCE)


def test_a_failure_is_said_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(FOR_EVER, AlertError("it is down"), AlertError("it is down"), ValueError("a bug"))
    worker = Worker("the place", work, 0.001)
    worker.start()
    assert wait_until(lambda: work.done == 1)
    worker.close(PATIENCE)
    assert [
        "the place: not updated: it is down; trying again",
        "the place: updated again after 3 failures",
    ] == [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"]


def test_the_end_works_once_more_if_there_is_news_and_waits_for_no_pause() -> None:
    work = Work()
    worker = Worker("x", work, FOR_EVER)
    worker.start()
    assert wait_until(lambda: work.done == 1)
    wake(worker)
    worker.close(PATIENCE)
    assert 2 == work.done
    assert not worker._thread.is_alive()


def test_the_end_does_not_wait_for_work_that_hangs() -> None:
    hang = threading.Event()

    def work() -> float:
        hang.wait(PATIENCE)
        return FOR_EVER

    worker = Worker("x", work, 0.0)
    worker.start()
    worker.close(0.05)
    hang.set()

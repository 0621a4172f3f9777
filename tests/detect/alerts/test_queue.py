"""A queue hands alerts over in order, tries again after failures, and is bounded."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from defender_detect.alerts.queue import AlertQueue
from defender_detect.errors import AlertError, AlertRefused
from tests.detect.alerts.sink import FakeSink
from tests.detect.store.test_store import event
from tests.waiting import FOR_EVER, wait_until


@pytest.fixture
def queue_to() -> Iterator[Callable[..., AlertQueue]]:
    """Make a queue that waits little, and end it after the test."""
    made: list[AlertQueue] = []

    def queue_to(sink: Any, **options: Any) -> AlertQueue:
        made.append(AlertQueue(sink, **{"first_wait": 0.01, **options}))
        return made[-1]

    yield queue_to
    for queue in made:
        queue.close(1)


def put(queue: AlertQueue, *names: str) -> None:
    for name in names:
        queue.put(event(violation_id=name))


def test_alerts_are_taken_in_order_and_after_failures_with_growing_waits(
    queue_to: Callable[..., AlertQueue], caplog: pytest.LogCaptureFixture
) -> None:
    sink = FakeSink(AlertError("it is down"), AlertError("it is down"), OSError("still"), AlertError("it is down"))
    queue = queue_to(sink, first_wait=0.02, chance=random.Random(1))
    put(queue, "a", "b", "c")
    assert wait_until(lambda: queue.sent == 3)
    assert ["a", "b", "c"] == sink.taken
    assert (3, 4, 0, 0) == (queue.sent, queue.failed, queue.dropped, len(queue))
    waits = [after - before for before, after in zip(sink.times, sink.times[1:])][:4]
    assert all(wait >= least for wait, least in zip(waits, (0.01, 0.02, 0.04, 0.08)))
    assert 1 == caplog.text.count("an alert was not delivered: it is down; trying again")
    assert "the fake: delivering alerts again after 4 failures" in caplog.text


def test_an_alert_that_is_refused_is_said_and_the_next_is_taken(
    queue_to: Callable[..., AlertQueue], caplog: pytest.LogCaptureFixture
) -> None:
    sink = FakeSink(AlertRefused("the answer was 400"))
    queue = queue_to(sink)
    put(queue, "a", "b")
    assert wait_until(lambda: queue.sent == 1)
    assert (["b"], 1, 0) == (sink.taken, queue.dropped, queue.failed)
    assert "giving up on this alert: in-alarm of rpi-1, cpu-usage, cpu: the answer was 400" in caplog.text


def test_an_alert_that_is_too_old_is_given_up(queue_to: Callable[..., AlertQueue]) -> None:
    sink = FakeSink(*[AlertError("no")] * 3)
    sink.give_up_after = 0.0
    queue = queue_to(sink)
    put(queue, "a", "b", "c", "d")
    assert wait_until(lambda: queue.sent == 1)
    assert (["d"], 3, 3) == (sink.taken, queue.failed, queue.dropped)


def test_the_oldest_are_dropped_and_that_is_said_once(
    queue_to: Callable[..., AlertQueue], caplog: pytest.LogCaptureFixture
) -> None:
    hang = threading.Event()
    sink = FakeSink(hang)
    queue = queue_to(sink, most=3)
    put(queue, "first")
    assert wait_until(lambda: sink.times)
    put(queue, *map(str, range(1000)))
    assert 0 == queue.sent  # so nobody waited for the sink
    hang.set()
    assert wait_until(lambda: queue.sent == 4)
    assert (["first", "997", "998", "999"], 997) == (sink.taken, queue.dropped)
    assert 1 == caplog.text.count("3 alerts are waiting; the oldest are dropped from now on")


def test_how_long_the_other_side_asks_to_wait_is_how_long_we_do(queue_to: Callable[..., AlertQueue]) -> None:
    sink = FakeSink(AlertError("busy", wait=0.2))
    queue = queue_to(sink, first_wait=FOR_EVER)
    put(queue, "a")
    assert wait_until(lambda: queue.sent == 1)
    assert 0.2 <= sink.times[1] - sink.times[0]

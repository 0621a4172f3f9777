from __future__ import annotations

import threading
import time

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3")

from infrastructure.account import WORKERS  # noqa: E402
from infrastructure.pacing import paced, side_by_side  # noqa: E402


def test_results_come_in_the_order_of_the_items_whatever_ends_first() -> None:
    late = threading.Event()

    def call(item: int) -> int:
        if item == 0:
            late.wait(60)
        else:
            late.set()
        return item * 2

    assert [(0, 0), (1, 2), (2, 4)] == list(paced(call, [0, 1, 2], 1000.0))


def test_nothing_is_asked_for_nothing() -> None:
    assert [] == list(paced(lambda item: item, iter(()), 1.0))


def test_calls_begin_no_faster_than_the_rate() -> None:
    begun: list[float] = []
    start = time.monotonic()  # not the first call's time: its thread may have to wait for a core
    list(paced(lambda item: begun.append(time.monotonic()), range(11), 100.0))
    assert max(begun) - start >= 0.1 - 0.005  # sleep may end a clock's tick early


def test_calls_run_side_by_side() -> None:
    together = threading.Barrier(WORKERS, timeout=60)
    assert WORKERS == len(list(paced(lambda item: together.wait(), range(WORKERS), 1000.0)))


def test_the_first_error_comes_out_and_what_has_not_begun_never_does() -> None:
    begun: list[int] = []

    def call(item: int) -> int:
        begun.append(item)
        if item == 1:
            raise ValueError(item)
        return item

    calls = paced(call, range(1000), 10.0)
    assert (0, 0) == next(calls)
    with pytest.raises(ValueError, match="1"):
        next(calls)
    assert len(begun) < 1000  # for which 100 s are needed
    ended = len(begun)
    time.sleep(0.2)
    assert ended == len(begun)


def test_whoever_stops_reading_stops_the_calls() -> None:
    begun: list[int] = []
    calls = paced(begun.append, range(1000), 10.0)
    next(calls)
    calls.close()  # type: ignore[attr-defined]
    assert len(begun) < 1000  # for which 100 s are needed


@pytest.mark.parametrize("workers", [1, 4])
def test_work_side_by_side_ends_in_the_order_of_the_items(workers: int) -> None:
    assert [("a", "A"), ("b", "B"), ("c", "C")] == list(side_by_side(str.upper, ["a", "b", "c"], workers))


def test_an_interruption_waits_for_nothing_and_begins_nothing_more() -> None:
    begun: list[int] = []
    released, ended = threading.Event(), threading.Event()

    def call(item: int) -> None:
        begun.append(item)
        if item == 0:
            raise KeyboardInterrupt  # comes out where the result is waited for, as Ctrl-C does
        released.wait(60)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        list(side_by_side(call, range(10), 2))
    assert not ended.is_set()
    released.set()
    assert ended.wait(60)
    time.sleep(0.01)
    assert len(begun) <= 3

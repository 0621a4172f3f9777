"""Many calls side by side, at a rate below AWS's quota for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from infrastructure.account import WORKERS

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(call: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[tuple[Item, Result]]:
    """Yield each item with what the call returns for it, in order; an interruption waits for none that is under way."""
    items = list(items)
    pool = ThreadPoolExecutor(workers)
    try:
        yield from zip(items, pool.map(call, items))
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def paced(call: Callable[[Item], Result], items: Iterable[Item], rate: float) -> Iterator[tuple[Item, Result]]:
    """Yield each item with what the call returns for it, in order, with at most `rate` calls begun per second.

    The first error ends it, after the calls that are under way.
    """
    items = list(items)
    turn = _turns(rate)

    def call_in_turn(item: Item) -> Result:
        turn()
        return call(item)

    with ThreadPoolExecutor(WORKERS) as pool:
        futures = [pool.submit(call_in_turn, item) for item in items]
        try:
            for item, future in zip(items, futures):
                yield item, future.result()
        finally:
            for future in futures:
                future.cancel()


def _turns(rate: float) -> Callable[[], None]:
    """Return a function that returns at most `rate` times a second, whoever calls it."""
    lock = threading.Lock()
    free_at = 0.0

    def turn() -> None:
        nonlocal free_at
        with lock:
            begins = max(time.monotonic(), free_at)
            free_at = begins + 1 / rate
        time.sleep(max(0.0, begins - time.monotonic()))

    return turn

"""How many KPU a fleet needs, in either mode."""

from __future__ import annotations

import pytest

from infrastructure.sizing import PROCESS, THREAD, Size


@pytest.mark.parametrize(
    ("things", "interval", "mode", "parallelism"),
    [
        (1, 300, PROCESS, 1),
        (90_000, 300, PROCESS, 1),
        (100_000, 300, PROCESS, 2),
        (1_000_000, 300, PROCESS, 11),
        (1_000_000, 300, THREAD, 2),
        (1_000_000, 3_600, THREAD, 1),
        (100_000_000, 300, THREAD, 139),
    ],
)
def test_the_size_follows_from_things_and_interval(things: int, interval: float, mode: str, parallelism: int) -> None:
    size = Size(things, interval, mode)
    assert (parallelism, parallelism + 1) == (size.parallelism, size.units)

"""What is learned of a metric: ranks of numbers, sums over an hour as Detect makes them, items and how often."""

from __future__ import annotations

import pytest

from defender_detect.ask import learned
from defender_detect.ask.learned import Items, Numbers, Sums


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 500), (0.999, 999), (1.0, 1000)])
def test_a_rank_is_that_of_the_nearest_value(share: float, expected: int) -> None:
    numbers = Numbers()
    for value in range(1000, 0, -1):
        numbers.add(value)
    assert expected == numbers.rank(share)


def test_of_very_many_values_a_fair_sample_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "MOST_VALUES", 1000)
    numbers = Numbers()
    for value in range(100_000):
        numbers.add(value)
    assert 40_000 < numbers.rank(0.5) < 60_000
    assert 90_000 < numbers.rank(0.999) < 100_000


def test_sums_are_those_of_the_last_hour_of_each_thing() -> None:
    sums = Sums("aws:all-bytes-out")
    for number in range(24):
        sums.add("rpi-1", 10, 300.0 * number)
        sums.add("rpi-2", 1, 300.0 * number)
    assert 120 == sums.numbers.rank(1.0)
    assert 12 == sums.numbers.rank(0.5)


def test_items_are_counted_by_report_and_new_ones_only_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "MOST_DIFFERENT", 3)
    items = Items()
    items.add((22, 80))
    items.add((22, 443))
    assert ({22: 2, 80: 1, 443: 1}, True) == (items.seen, items.is_whole)
    items.add((22,))
    assert items.is_whole
    items.add((22, 8080))
    assert ({22: 4, 80: 1, 443: 1}, False) == (items.seen, items.is_whole)

"""A reservoir keeps everything while it fits, and then a uniform sample."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from defender_publisher.collectors.reservoir import Reservoir


def passed(size, counts, seed=1):
    reservoir, start = Reservoir(size, random.Random(seed).random), 0
    for count in counts:
        reservoir.pass_by(count, lambda index, start=start, count=count: start + index if index < count else 1 / 0)
        start += count
    return reservoir


@pytest.mark.parametrize("counts", [[], [0], [5], [2, 3], [1] * 5])
@pytest.mark.parametrize("size", [None, 5, 100])
def test_what_fits_is_kept_in_order(size, counts):
    reservoir = passed(size, counts)
    assert list(range(sum(counts))) == reservoir.kept
    assert sum(counts) == reservoir.seen


@pytest.mark.parametrize("counts", [[1000], [3, 7, 990], [10] * 100, [1] * 1000])
@pytest.mark.parametrize("size", [1, 10, 999])
def test_of_more_a_sample_without_repetition_is_kept(size, counts):
    reservoir = passed(size, counts)
    assert 1000 == reservoir.seen
    assert size == len(set(reservoir.kept))


@pytest.mark.parametrize("counts", [[30], [1] * 30, [7, 0, 23]])
def test_every_item_is_as_likely_as_any_other(counts):
    hits = Counter(item for seed in range(6000) for item in passed(5, counts, seed).kept)
    assert 30 == len(hits)
    assert 850 < min(hits.values())  # 1,000 expected, 29 the standard deviation
    assert max(hits.values()) < 1150


@pytest.mark.parametrize("at_hand", [0, 3, 5, 6, 12, 29, 30])
def test_it_can_begin_with_items_that_are_at_hand(at_hand, drawn_as_ever):
    hits = Counter()
    for seed in range(6000):
        reservoir = Reservoir(5, random.Random(seed).random)
        reservoir.begin(at_hand, lambda index: index)
        reservoir.pass_by(30 - at_hand, lambda index: at_hand + index)
        assert (30, 5) == (reservoir.seen, len(set(reservoir.kept)))
        hits.update(reservoir.kept)
    assert 850 < min(hits.values())
    assert max(hits.values()) < 1150


def test_few_of_many_are_ever_looked_at():
    looked_at = []
    Reservoir(100, random.Random(1).random).pass_by(50_000, lambda index: looked_at.append(index))
    assert len(looked_at) < 1000


@pytest.mark.parametrize("drawn", [0.0, 1 - 2**-53])
def test_the_rarest_draws_are_no_error(drawn):
    reservoir = Reservoir(2, lambda: drawn)
    reservoir.pass_by(10, lambda index: index)
    assert 10 == reservoir.seen

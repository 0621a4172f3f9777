"""A percentile is a value that was reported, and a population of any size keeps its middle and its exact ends."""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_detect.evaluate.percentiles import (
    MOST_VALUES,
    Population,
    Sketch,
    percentile,
    rank_of,
    window_in_force,
    window_of,
)
from device_defender.profile import STATISTICS
from tests.examples import examples


def test_a_percentile_is_a_value_that_was_reported() -> None:
    values = list(range(1, 1001))
    found = [percentile(values, statistic) for statistic in STATISTICS]
    assert [1, 1, 1, 10, 100, 500, 900, 990, 999, 1000, 1000] == found
    assert 7 == percentile([7], "p50")
    assert 1.5 == percentile([2.5, 1.5], "p50")


def test_a_percentile_is_not_available_of_nothing_or_if_a_value_is_negative() -> None:
    assert percentile([], "p50") is None
    assert percentile([1, -0.5, 2], "p100") is None


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=200), st.sampled_from(STATISTICS))
@examples(100)
def test_so_many_percent_of_the_values_do_not_exceed_a_percentile(values: list[float], statistic: str) -> None:
    found = percentile(values, statistic)
    assert found is not None
    wanted = max(1, math.ceil(round(float(statistic[1:]) * len(values) / 100, 9)))
    assert sum(value <= found for value in values) >= wanted
    assert sum(value < found for value in values) < wanted


def test_a_population_gives_the_percentile_of_the_window_before() -> None:
    population = Population("p50", 300.0)
    assert population.advance(1000.0) is None
    for value in (1.0, 5.0, 9.0):
        population.add(value, 1000.0)
    assert population.advance(1100.0) is None
    assert 5.0 == population.advance(1200.0) == population.advance(1499.0)
    assert population.advance(1500.0) is None
    population.add(3.0, 1500.0)
    assert population.advance(2100.0) is None


def test_a_population_with_a_negative_value_has_no_percentile() -> None:
    population = Population("p50", 300.0)
    for value in (1.0, -1.0, 2.0):
        population.add(value, 0.0)
    assert population.advance(330.0) is None


def test_a_population_whose_clock_is_set_back_goes_on() -> None:
    population = Population("p50", 300.0)
    population.add(1.0, 90_000.0)
    population.add(2.0, 0.0)
    assert 2.0 == population.advance(330.0)


def test_a_population_of_any_size_takes_bounded_memory_and_keeps_its_middle() -> None:
    population = Population("p50", 300.0)
    for value in range(3 * MOST_VALUES):
        population.add(float(value), 0.0)
    assert len(population.sketch.to_bytes()) <= 2 * 8 * MOST_VALUES
    assert abs((population.advance(330.0) or 0) / (1.5 * MOST_VALUES) - 1) < 0.0001


@pytest.mark.parametrize(("statistic", "extreme"), [("p0", 0.5), ("p100", 1e9)])
@pytest.mark.parametrize("place", [0, 1, MOST_VALUES - 1, MOST_VALUES, 2 * MOST_VALUES + 1, 3 * MOST_VALUES - 1])
def test_p0_and_p100_are_exact_wherever_in_a_window_of_any_size_they_come(
    statistic: str, extreme: float, place: int
) -> None:
    population = Population(statistic, 300.0)
    for number in range(3 * MOST_VALUES):
        population.add(extreme if number == place else 1000.0 + number, 0.0)
        if number == MOST_VALUES + 100:  # a restart amid the window
            population = msgspec.msgpack.decode(msgspec.msgpack.encode(population), type=Population)
    assert extreme == population.advance(330.0)
    population.add(7.0, 330.0)
    assert 7.0 == population.advance(630.0)


def test_a_negative_value_counts_wherever_in_a_window_of_any_size_it_comes() -> None:
    population = Population("p50", 300.0)
    for number in range(2 * MOST_VALUES):
        population.add(-1.0 if number == MOST_VALUES + 1 else 5.0, 0.0)
    assert None is population.advance(330.0)


def test_what_an_earlier_release_kept_of_a_population_goes_on() -> None:
    kept = msgspec.msgpack.encode(["p100", 300.0, 0, None, 3, 1, [1.0, 9.0, 5.0]])
    assert 9.0 == msgspec.msgpack.decode(kept, type=Population).advance(330.0)


def test_a_population_outlives_a_restart() -> None:
    population = Population("p90", 300.0)
    population.add(4.0, 0.0)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(population), type=Population)
    assert population == again
    assert 4.0 == again.advance(330.0)


# Sketches


def sketch_of(values: list[float]) -> Sketch:
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    return sketch


def merged(sketches: list[Sketch]) -> Sketch:
    """Return one sketch of several processes' bytes."""
    whole = Sketch()
    for each in sketches:
        whole.merge(Sketch.from_bytes(each.to_bytes()))
    return whole


def rank_error(ordered: list[float], found: float, statistic: str) -> float:
    """Return how far a value is from the percentile, as a share of all ranks."""
    rank, first, last = rank_of(statistic, len(ordered)), bisect_left(ordered, found) + 1, bisect_right(ordered, found)
    return max(first - rank, rank - last, 0) / len(ordered)


@pytest.mark.parametrize("number", [140_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("order", ["by chance", "rising"])
def test_a_percentile_is_within_its_error_of_one_process_and_merged_over_four(number: int, order: str) -> None:
    chance = random.Random(number)
    values = [chance.lognormvariate(10, 2) for _ in range(number)]
    ordered = sorted(values)
    values = values if order == "by chance" else ordered
    for sketch in (sketch_of(values), merged([sketch_of(values[start::4]) for start in range(4)])):
        assert number == len(sketch)
        for statistic in STATISTICS:
            found = sketch.percentile(statistic)
            assert found is not None
            assert rank_error(ordered, found, statistic) <= 0.0001, statistic
        assert (ordered[0], ordered[-1]) == (sketch.percentile("p0"), sketch.percentile("p100"))
        assert len(sketch.to_bytes()) <= 3_000_000


@given(st.lists(st.lists(st.floats(0, 1e9), max_size=50), max_size=5), st.sampled_from(STATISTICS))
@examples(100)
def test_few_values_are_exact_however_they_are_divided(parts: list[list[float]], statistic: str) -> None:
    values = [value for part in parts for value in part]
    assert percentile(values, statistic) == merged([sketch_of(part) for part in parts]).percentile(statistic)


@pytest.mark.parametrize("sizes", [(3, 70_001), (65_535, 65_535), (100_003, 1), (0, 65_536), (40_001, 40_001, 40_001)])
def test_merging_loses_no_value_of_any_number(sizes: tuple[int, ...]) -> None:
    parts = [[float(number * 10 + index) for number in range(size)] for index, size in enumerate(sizes)]
    whole, ordered = merged([sketch_of(part) for part in parts]), sorted(value for part in parts for value in part)
    assert sum(sizes) == len(whole)
    assert (ordered[0], ordered[-1]) == (whole.percentile("p0"), whole.percentile("p100"))
    middle = whole.percentile("p50")
    assert middle is not None
    assert rank_error(ordered, middle, "p50") <= 0.0001


def test_a_negative_value_of_one_process_leaves_all_without_a_percentile() -> None:
    parts = [sketch_of([1.0] * 70_000), sketch_of([-1.0, *[2.0] * 70_000])]
    assert None is merged(parts).percentile("p50")


@pytest.mark.parametrize("packed", [b"", b"\xc1", b"\x94\x01\x02\x90\x90", b"\x94\x01\x02\x91\xc4\x01x\x91\xc2"])
def test_what_is_no_sketch_is_said(packed: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        Sketch.from_bytes(packed)


def test_the_threshold_in_force_is_that_of_the_last_window_that_has_ended() -> None:
    population = Population("p50", 300.0)
    by_window = {}
    for now in range(0, 3_000, 10):
        by_window.setdefault(window_of(now, 300.0), []).append(float(now))
        expected = percentile(by_window.get(window_in_force(now, 300.0), []), "p50")
        assert expected == population.advance(now), now
        population.add(float(now), now)

"""A percentile is a value that was reported, and a population of any size keeps its middle and its exact ends."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_detect.evaluate.percentiles import MOST_VALUES, Population, percentile
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
    assert population.advance(1229.9) is None
    assert 5.0 == population.advance(1230.0) == population.advance(1499.0) == population.advance(1529.9)
    assert population.advance(1530.0) is None
    population.add(3.0, 1530.0)
    assert 3.0 == population.advance(1830.0) == population.advance(2100.0) == population.advance(2129.9)
    assert population.advance(2130.0) is None
    population.add(4.0, 2130.0)
    assert population.advance(3000.0) is None


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

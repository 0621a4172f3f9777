"""What is drawn is where it was in time, small enough to send, and empty where nothing is known."""

from __future__ import annotations

from defender_detect.console.axis import Axis
from defender_detect.console.drawing import (
    COLUMNS,
    draw_line,
    draw_steps,
    find_bottom,
    find_interval,
    find_top,
    thin_out,
)

NOW = 1_800_000_000.0
AXIS = Axis(NOW - 1000, NOW)


def test_a_long_line_keeps_its_lowest_and_highest_values_in_order() -> None:
    points = [(NOW - 1000 + number / 20, float(number % 7)) for number in range(20_000)]
    points[4321] = (points[4321][0], 1e6)
    points[4322] = (points[4322][0], -5.0)
    kept = thin_out(points, AXIS)
    assert len(kept) <= 2 * COLUMNS + 2
    assert sorted(kept) == list(kept)
    assert {1e6, -5.0} <= {value for _, value in kept}
    assert set(kept) <= set(points)


def test_a_line_has_a_gap_where_nothing_was_reported_and_shows_a_value_alone() -> None:
    points = [(NOW - 1000 + 10 * number, 5.0) for number in range(20)] + [(NOW - 10, 5.0)]
    plot = draw_line(points, AXIS, 10.0, 25.0)
    assert 2 == plot.path.count("M")
    assert plot.path.endswith("h2")
    assert 21 == len(plot.readings)
    assert "" == draw_line([], AXIS, 10.0, 25.0).path == draw_steps([], AXIS, 1.0)


def test_a_limit_far_above_all_values_does_not_press_them_flat() -> None:
    assert find_top([10.0], [1000.0]) == find_top([10.0])
    assert find_top([10.0], [15.0]) > 15
    assert find_top([12.0]) == -find_bottom([-12.0, 5.0], [-999.0])
    assert find_top([10.0], [15.0]) == -find_bottom([-10.0], [-15.0])


def test_a_line_of_zeros_or_of_nothing_is_at_the_bottom() -> None:
    assert 0 == find_top([]) == find_top([0.0]) == find_top([-5.0]) == find_bottom([]) == find_bottom([5.0])
    assert "M500,99.0h2" == draw_line([(NOW - 500, 0.0)], AXIS, 0.0, 25.0).path
    assert "M500,99.0H1000" == draw_steps([(NOW - 500, 0.0)], AXIS, 0.0)


def test_the_usual_interval_is_not_that_of_a_pause() -> None:
    assert 10 == find_interval([0, 10, 20, 30, 3000, 3010])
    assert 300 == find_interval([5])

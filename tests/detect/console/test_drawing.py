"""What is drawn is where it was in time, small enough to send, and empty where nothing is known."""

from __future__ import annotations

import re
import time

import pytest

from defender_detect.console.axis import Axis, fit
from defender_detect.console.charts import find_limit, make_charts
from defender_detect.console.drawing import COLUMNS, draw_line, draw_steps, find_interval, find_top, thin_out
from defender_detect.console.overview import go_back
from defender_detect.console.strips import MOST_ROWS, make_strip
from defender_detect.console.things import draw_squares
from defender_detect.store.summaries import Change

NOW = 1_800_000_000.0
AXIS = Axis(NOW - 1000, NOW)


def test_a_time_is_at_its_place_and_never_beyond_the_axis() -> None:
    assert [0, 0, 50, 100, 100] == [AXIS.place(NOW + each) for each in (-2000, -1000, -500, 0, 99)]
    assert (50, 25) == AXIS.stretch(NOW - 500, NOW - 250)
    left, width = AXIS.stretch(NOW, NOW)
    assert width > 0
    assert left + width <= 100


def test_an_axis_begins_where_there_is_something_to_see() -> None:
    assert Axis(NOW - 3600, NOW) == fit(NOW, 3600, None) == fit(NOW, 3600, NOW - 7200)
    assert NOW - 610 < fit(NOW, 3600, NOW - 600).start < NOW - 600
    assert Axis(NOW - 60, NOW) == fit(NOW, 3600, NOW - 1)


@pytest.mark.parametrize("length", [60, 600, 3600, 86_400, 14 * 86_400, 90 * 86_400])
def test_ticks_are_few_in_order_and_round(length: float) -> None:
    ticks = Axis(NOW - length, NOW).ticks
    assert 2 <= len(ticks) <= 15
    assert sorted(each.place for each in ticks) == [each.place for each in ticks]
    assert all(0 <= each.place <= 100 and re.fullmatch(r"[\d: ]+[A-Za-z]*", each.text) for each in ticks)


def test_ticks_are_at_round_times_where_the_clock_is_not_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")  # half an hour beside the others
    time.tzset()
    try:
        texts = [each.text for each in Axis(NOW - 6 * 3600, NOW).ticks]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert all(text.endswith(":00") or " " in text for text in texts), texts


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
    assert find_top([]) > 0
    assert find_top([0.0]) > 0


def test_a_sum_over_more_than_a_report_has_no_line_in_a_chart_of_reports() -> None:
    criteria = {"comparisonOperator": "less-than", "value": {"count": 5}, "durationSeconds": 3600}
    assert None is find_limit(criteria, "aws:all-bytes-out", 300).value
    assert 5 == find_limit({**criteria, "durationSeconds": 300}, "aws:all-bytes-out", 300).value
    assert None is find_limit({"comparisonOperator": "in-set", "value": {"strings": ["a"]}}, "m", 300).value


def test_metrics_that_belong_together_are_one_chart() -> None:
    points = [(NOW - 500, 1.0), (NOW - 400, 2.0)]
    charts = make_charts({"z": points, "aws:all-bytes-in": points, "aws:all-bytes-out": points}, AXIS, {}, {})
    assert [("bytes", 2), ("z", 1)] == [(each.title, len(each.series)) for each in charts]
    assert ["sent", "received"] == [each.name for each in charts[0].series]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, True, -5, 0])
def test_any_number_is_drawn_or_left_out(value: float) -> None:
    (chart,) = make_charts({"m": [(NOW - 500, value), (NOW - 400, 1)]}, AXIS, {}, {})
    assert "nan" not in chart.series[0].path
    assert "inf" not in chart.series[0].path


def test_a_row_is_filled_while_something_was_there_and_what_is_wrong_or_new_stands_first() -> None:
    lists = [(NOW - 1000 + 100 * number, (22, 80, 4444) if number > 6 else (22, 80)) for number in range(10)]
    criteria = {"comparisonOperator": "in-port-set", "value": {"ports": [22, 80]}}
    strip = make_strip("aws:listening-tcp-ports", lists, AXIS, [criteria])
    assert ["4444", "22", "80"] == [row.name for row in strip.rows]
    assert [(True, True), (False, False), (False, False)] == [(row.is_wrong, row.is_new) for row in strip.rows]
    assert ((70, 30),) == strip.rows[0].stretches
    assert ((0, 100),) == strip.rows[1].stretches


def test_silence_fills_nothing() -> None:
    lists = [(NOW - 1000, (22,)), (NOW - 990, (22,)), (NOW - 980, (22,)), (NOW - 20, (22,)), (NOW - 10, (22,))]
    (row,) = make_strip("aws:listening-tcp-ports", lists, AXIS, []).rows
    assert 2 == len(row.stretches)
    assert sum(width for _, width in row.stretches) < 6


def test_many_addresses_are_put_together_by_network_and_a_wrong_one_stands_alone() -> None:
    ours = tuple(f"10.0.{number % 3}.{number}" for number in range(200))
    lists = [(NOW - 900, ours), (NOW - 800, (*ours[:50], "198.51.100.66", "2001:db8::1"))]
    criteria = {"comparisonOperator": "in-cidr-set", "value": {"cidrs": ["10.0.0.0/8", "2001:db8::/32"]}}
    names = [row.name for row in make_strip("aws:destination-ip-addresses", lists, AXIS, [criteria]).rows]
    assert "198.51.100.66" == names[0]
    assert {"10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "2001:db8::/64"} == set(names[1:])


def test_a_thing_that_talks_to_everybody_has_a_bounded_page() -> None:
    lists = [(NOW - 900 + number, (f"{number % 200 + 1}.{number % 251}.7.9",)) for number in range(800)]
    strip = make_strip("aws:destination-ip-addresses", lists, AXIS, [])
    assert MOST_ROWS == len(strip.rows)
    assert strip.more > 0


def test_a_curve_is_found_backwards_from_what_is_on_now() -> None:
    changes = [Change("p", "b", place, began, ended, "m", {}) for place, began, ended in ((10, 5, 0), (20, 1, 2))]
    assert [(0, 3), (10, 8), (20, 7)] == go_back(7, changes)
    assert [(0, 0), (10, 5), (20, 4)] == go_back(4, changes)


def test_squares_are_in_order_and_the_worst_of_those_that_share_one_is_seen() -> None:
    squares = draw_squares(["ok"] * 30 + ["alarm"] + ["silent"] * 19)
    assert (40, 2, 1, 50) == (squares.columns, squares.rows, squares.each, squares.number)
    assert "M30,0h1v1h-1z" == squares.paths["alarm"]
    assert "M31,0h9v1h-9zM0,1h10v1h-10z" == squares.paths["silent"]
    many = draw_squares(["ok"] * 59_999 + ["alarm"])
    assert (5, 12_000) == (many.each, many.number)
    assert 1 == many.paths["alarm"].count("M")


def test_the_usual_interval_is_not_that_of_a_pause() -> None:
    assert 10 == find_interval([0, 10, 20, 30, 3000, 3010])
    assert 300 == find_interval([5])

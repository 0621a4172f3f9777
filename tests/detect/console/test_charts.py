"""A chart shows the numbers that there are, upright, with the limits that are near, and says in words what is seen."""

from __future__ import annotations

import json
from typing import Any

import pytest

from defender_detect.console.axis import Axis
from defender_detect.console.charts import Chart, Limit, find_limit, is_number, make_charts
from tests.detect.console.conftest import HOSTILE

NOW = 1_800_000_000.0
AXIS = Axis(NOW - 1000, NOW)
AT_MOST = {"comparisonOperator": "less-than-equals", "value": {"number": 75}}


def chart(*values: Any, metric: str = "m", **given: Any) -> Chart:
    """The chart of values that came every hundred seconds."""
    points = [(NOW - 900 + 100 * number, value) for number, value in enumerate(values)]
    (made,) = make_charts({metric: points}, AXIS, given.get("limits", {}), given.get("alarms", {}))
    return made


def heights(made: Chart) -> list[float]:
    """How far below the top each value is drawn."""
    parts = made.series[0].path.replace("h2", "").replace("M", "L").split("L")[1:]
    return [float(part.partition(",")[2]) for part in parts]


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


@pytest.mark.parametrize("values", [(-20, -18.5, -19), (-5, 10, 0), (1, 5, 3), (-1e299, 1e299, 0)])
def test_what_is_more_is_higher_also_below_zero(values: tuple[float, ...]) -> None:
    """A freezer's temperature was drawn upside down."""
    drawn = heights(chart(*values))
    assert [values.index(each) for each in sorted(values, reverse=True)] == [
        drawn.index(each) for each in sorted(drawn)
    ]  # fmt: skip
    assert all(1 <= each <= 99 for each in drawn)


def test_zero_is_at_the_bottom_unless_something_is_below_it() -> None:
    assert 99 == heights(chart(0, 10))[0]
    assert heights(chart(-10, 0, 10))[1] == pytest.approx(50, abs=0.1)
    assert [99, 99] == heights(chart(0, 0))


def test_what_stands_at_the_top_is_the_highest_value() -> None:
    assert ("10", "0", "0") == (chart(4, 10).top, chart(0, 0).top, chart(-20, -18).top)
    assert "75%" == chart(50, metric="cpu_usage", limits={"cpu_usage": [Limit("at most 75%", 75.0)]}).top


def test_a_limit_is_a_line_where_it_is_near_and_words_in_any_case() -> None:
    near, far = Limit("near", 12.0), Limit("far", 999.0)
    made = chart(10, limits={"m": [near, far, near, Limit("no line", None)]})
    assert (1, ("near", "far", "no line")) == (len(made.thresholds), made.limits)
    assert made.thresholds[0] < heights(made)[0]
    below = chart(-10, limits={"m": [Limit("above -12", -12.0), Limit("above -999", -999.0)]})
    assert 1 == len(below.thresholds)
    assert below.thresholds[0] > heights(below)[0]


def test_where_an_alarm_was_on_is_shaded_once() -> None:
    assert ((50, 25),) == chart(1, alarms={"m": [(NOW - 500, NOW - 250)] * 2, "other": [(NOW - 9, NOW)]}).shaded


def test_a_chart_is_said_in_words_with_its_unit() -> None:
    made = chart(1500, 20, metric="aws:all-packets-in")
    assert "packets: received last 20; from 20 to 1500" == made.words.replace(
        "received 20", "received last 20"
    ).replace("last received", "received")
    assert ("B", "%", "") == (
        chart(1, metric="aws:all-bytes-in").unit, chart(1, metric="cpu_usage").unit, chart(1).unit,
    )  # fmt: skip


def test_a_value_that_is_no_number_is_left_out_and_a_chart_of_none_is_said_to_have_none() -> None:
    made = chart(float("nan"), (22, 80), "text", None)
    assert ("no value", "", "[]") == (made.series[0].last, made.series[0].path, made.series[0].readings)
    assert "m: no value" == made.words
    assert not any(map(is_number, (float("nan"), float("inf"), 10**400, None, "1", ())))
    assert all(map(is_number, (0, -5, 1e299)))
    assert [] == make_charts({}, AXIS, {}, {})


def test_readings_are_places_in_thousandths_and_values() -> None:
    assert [[100, 1], [200, 2.346]] == json.loads(chart(1, 2.34567).series[0].readings)


def test_a_metric_of_a_hostile_name_is_harmless_in_words() -> None:
    words = chart(1, metric=HOSTILE).words
    assert words.isprintable()
    assert "\x1b" not in words


def test_a_limit_of_the_same_time_as_a_report_is_a_line_and_of_a_percentile_is_none() -> None:
    assert Limit("at most 75", 75.0) == find_limit(AT_MOST, "m", 300)
    for seconds, value in ((450, 75.0), (451, None), (0, 75.0)):
        assert value == find_limit({**AT_MOST, "durationSeconds": seconds}, "m", 300).value
    percentile = {"comparisonOperator": "less-than", "statisticalThreshold": {"statistic": "p90"}}
    assert Limit("below the p90 of all things", None) == find_limit(percentile, "m", 300)
    assert None is find_limit({}, "m", 300).value

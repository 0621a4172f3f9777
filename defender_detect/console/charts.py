"""The charts of a thing: its numbers over time, those that belong together in one, with limits and times of alarms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from defender_daemon.text import printable
from defender_detect.console.axis import Axis
from defender_detect.console.drawing import GAP, HEADROOM, Plot, draw_line, fall, find_bottom, find_interval, find_top
from defender_detect.console.wording import BYTES, name_metric, say_normal, show_value
from device_defender.metrics import PERCENT

PAIRS = {  # metrics that are one chart, and its name
    "bytes": ("aws:all-bytes-out", "aws:all-bytes-in"),
    "packets": ("aws:all-packets-out", "aws:all-packets-in"),
}
LARGEST = 1e300  # what is larger, or no number at all, has no place in a chart
WORDS = ("sent", "received")

Points = Sequence[tuple[float, Any]]


class Limit(NamedTuple):
    """What is normal about a number, and whether a line can say so."""

    words: str
    value: float | None  # None for a sum over a longer time, or a percentile


class Series(NamedTuple):
    """One line of a chart."""

    name: str
    path: str
    last: str
    readings: str  # JSON: pairs of a place in thousandths and a value


class Chart(NamedTuple):
    """One or two lines over the same time."""

    title: str
    unit: str  # "B", "%" or none, for who formats what is read
    series: tuple[Series, ...]
    top: str
    thresholds: tuple[float, ...]  # how far below the top, in hundredths
    limits: tuple[str, ...]
    shaded: tuple[tuple[float, float], ...]  # where an alarm was on: from, and how wide, in percent
    words: str  # what is seen, for who does not see it
    is_flat: bool  # every value is the same: it needs no room


Limits = Mapping[str, Sequence[Limit]]
Alarms = Mapping[str, Sequence[tuple[float, float]]]


def make_charts(values: Mapping[str, Points], axis: Axis, limits: Limits, alarms: Alarms) -> list[Chart]:
    """Return the charts of numbers; `limits` and `alarms`, as times from and to, are by metric."""
    groups = {name: [metric for metric in pair if metric in values] for name, pair in PAIRS.items()}
    paired = {metric for pair in groups.values() for metric in pair}
    groups.update({metric: [metric] for metric in sorted(values) if metric not in paired})
    interval = find_interval([when for when, _ in max(values.values(), key=len, default=())])  # that of the reports
    return [
        make_chart(title, {metric: values[metric] for metric in metrics}, axis, limits, alarms, interval)
        for title, metrics in groups.items()
        if metrics
    ]


def make_chart(
    title: str, values: Mapping[str, Points], axis: Axis, limits: Limits, alarms: Alarms, interval: float
) -> Chart:
    """Return a chart of one metric, or of two that belong together."""
    numbers = {
        metric: [each for each in points if isinstance(each[1], (int, float)) and -LARGEST < each[1] < LARGEST]
        for metric, points in values.items()  # said here once more, because a call for each of 30,000 values costs
    }
    of_all = [limit for metric in values for limit in limits.get(metric, ())]
    lines = [limit.value for limit in of_all if limit.value is not None]
    every = [value for points in numbers.values() for _, value in points]
    bottom, top = find_bottom(every, lines), find_top(every, lines)
    metric = next(iter(values))
    shaded = dict.fromkeys(axis.stretch(*each) for name in values for each in alarms.get(name, ()))
    series = tuple(make_series(name, points, axis, (bottom, top), title, interval) for name, points in numbers.items())
    return Chart(
        title=title if title in PAIRS else name_metric(title),
        unit="B" if metric in BYTES else "%" if metric in PERCENT else "",
        series=series,
        top=show_value(metric, top / HEADROOM),
        thresholds=tuple(fall(line, top, bottom) for line in dict.fromkeys(lines) if bottom <= line <= top),
        limits=tuple(dict.fromkeys(limit.words for limit in of_all)),
        shaded=tuple(shaded),
        words=describe(title, series, metric, numbers.values()),
        is_flat=len(set(every)) <= 1,
    )


def make_series(
    metric: str,
    points: Sequence[tuple[float, float]],
    axis: Axis,
    span: tuple[float, float],
    title: str,
    interval: float,
) -> Series:
    """Return a line of a chart, whose span is from its bottom to its top."""
    bottom, top = span
    plot: Plot = draw_line(points, axis, top, GAP * interval, bottom)
    name = WORDS[PAIRS[title].index(metric)] if title in PAIRS else ""
    last = show_value(metric, points[-1][1]) if points else "no value"
    readings = [(place, round(value, 3)) for place, value in plot.readings]
    return Series(name, plot.path, last, json.dumps(readings, separators=(",", ":")))


def describe(title: str, series: Iterable[Series], metric: str, points: Iterable[Sequence[tuple[float, float]]]) -> str:
    """Say in words what a chart shows."""
    every = [value for each in points for _, value in each]
    last = ", ".join(f"{each.name} {each.last}".strip() for each in series)
    name = title if title in PAIRS else printable(name_metric(title))
    if not every:
        return f"{name}: no value"
    return f"{name}: last {last}; from {show_value(metric, min(every))} to {show_value(metric, max(every))}"


def find_limit(criteria: Mapping[str, Any], metric: str, interval: float) -> Limit:
    """Return what is normal; a sum over more than one report has no place in a chart of reports."""
    value = next(iter((criteria.get("value") or {}).values()), None)
    is_comparable = criteria.get("durationSeconds", 0) <= 1.5 * interval and is_number(value)
    return Limit(say_normal(criteria, metric), float(value) if is_comparable and value is not None else None)


def is_number(value: Any) -> bool:
    """Whether a value can be drawn as a line."""
    return isinstance(value, (int, float)) and -LARGEST < value < LARGEST

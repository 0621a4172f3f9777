"""Words for what is stored: a value, a time, what is normal, and why an alarm is on, as a person says it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

from defender_daemon.text import printable
from defender_detect.evaluate import sentences
from defender_detect.evaluate.alarms import Event, Violation
from defender_detect.metrics import SILENCE
from device_defender.metrics import PERCENT

if TYPE_CHECKING:
    from defender_detect.metrics import Value

Alarm = Union[Event, Violation]

MOST_ITEMS = 6  # of a list in a sentence
LONGEST_ITEM = 60  # characters
METRICS = {
    "aws:all-bytes-in": "bytes received",
    "aws:all-bytes-out": "bytes sent",
    "aws:all-packets-in": "packets received",
    "aws:all-packets-out": "packets sent",
    "aws:listening-tcp-ports": "listening TCP ports",
    "aws:listening-udp-ports": "listening UDP ports",
    "aws:num-listening-tcp-ports": "number of listening TCP ports",
    "aws:num-listening-udp-ports": "number of listening UDP ports",
    "aws:destination-ip-addresses": "destinations",
    "aws:num-established-tcp-connections": "established TCP connections",
    SILENCE: "time without a report",
}
ITEMS = {"ports": ("port", "ports"), "cidrs": ("address", "addresses")}  # of a list, one and more
BYTES = frozenset({"aws:all-bytes-in", "aws:all-bytes-out"})
NORMAL = {
    "less-than": "below {}",
    "less-than-equals": "at most {}",
    "greater-than": "above {}",
    "greater-than-equals": "at least {}",
}
ALARMING = {
    "less-than": "{} or more",
    "less-than-equals": "more than {}",
    "greater-than": "{} or less",
    "greater-than-equals": "less than {}",
}
EVENTS = {"in-alarm": "raised", "alarm-cleared": "cleared", "alarm-invalidated": "invalidated"}
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def explain(alarm: Alarm) -> str:
    """Return why an alarm is on, or what ended it, in a sentence that names what is not normal."""
    if isinstance(alarm, Violation):
        return sentences.explain("in-alarm", alarm.metric, alarm.last_value, alarm.criteria)
    return sentences.sentence_of(alarm)


def say_normal(criteria: Mapping[str, Any], metric: str) -> str:
    """Say what is normal: at most 50 MB in 1 h."""
    operator, duration = str(criteria.get("comparisonOperator", "")), criteria.get("durationSeconds")
    within = f" in {say_length(duration)}" if duration else ""
    if "statisticalThreshold" in criteria:
        return NORMAL.get(operator, "{}").format(say_statistic(criteria)) + within
    kind, value = next(iter((criteria.get("value") or {}).items()), ("", None))
    if operator in NORMAL:
        return NORMAL[operator].format(show_value(metric, value)) + within
    if operator.endswith("-set"):
        return say_set(operator, kind, value or ())
    return "what the model has learned" if "mlDetectionConfig" in criteria else "not compared with anything"


def say_alarming(criteria: Mapping[str, Any], metric: str) -> str:
    """Say what raises an alarm, for a behavior as a sentence: more than 50 MB in 1 h."""
    operator, duration = str(criteria.get("comparisonOperator", "")), criteria.get("durationSeconds")
    within = f" in {say_length(duration)}" if duration else ""
    if operator in ALARMING:
        value = next(iter((criteria.get("value") or {}).values()), None)
        limit = say_statistic(criteria) if "statisticalThreshold" in criteria else show_value(metric, value)
        return ALARMING[operator].format(limit) + within
    kind, value = next(iter((criteria.get("value") or {}).items()), ("", ()))
    one = ITEMS.get(kind, ("value", "values"))[0]
    if operator.startswith("not-in-"):
        return f"{one} {show_items(value)}" if len(value) == 1 else f"any of the {name_items(kind, value)}"
    return f"any {one} but {show_items(value)}" if value else f"any {one}"


def say_set(operator: str, kind: str, items: Sequence[Any]) -> str:
    """Say which items are normal."""
    if operator.startswith("not-"):
        return f"none of the {name_items(kind, items)}" if items else "anything"
    return f"only {name_items(kind, items)}" if items else "none"


def name_items(kind: str, items: Sequence[Any]) -> str:
    """Return items with what they are: ports 22, 80."""
    return f"{ITEMS.get(kind, ('value', 'values'))[len(items) != 1]} {show_items(items)}"


def say_statistic(criteria: Mapping[str, Any]) -> str:
    """Return what a percentile is, in words."""
    return f"the {criteria['statisticalThreshold'].get('statistic', 'percentile')} of all things"


def say_behavior(metric: str, criteria: Mapping[str, Any]) -> str:
    """Say when a behavior alarms, whole: bytes sent: more than 50 MB in 1 h, twice in a row."""
    turns = criteria.get("consecutiveDatapointsToAlarm", 1)
    again = f", {turns} reports in a row" if turns > 1 else ""
    return f"Alarms on {name_metric(metric)}: {say_alarming(criteria, metric)}{again}"


def name_metric(metric: str) -> str:
    """Return a metric's name in words; a custom one's is its own."""
    return METRICS.get(metric) or printable(metric)


def show_value(metric: str, value: Value | list[Any] | None) -> str:
    """Return a value with its unit."""
    if value is None:
        return "no value"
    if isinstance(value, (tuple, list)):
        return show_items(value) or "none"
    if metric in BYTES:
        return show_bytes(value)
    if metric == SILENCE and not isinstance(value, str):
        return say_length(value * 60)  # it is in minutes
    return f"{show_number(value)}%" if metric in PERCENT else show_number(value)


def show_number(value: float | str) -> str:
    """Return a number with at most four digits, and a unit of thousands."""
    if isinstance(value, str):
        return printable(value)
    for size, unit in UNITS:
        if abs(value) >= 10 * size or (abs(value) >= size and value % size == 0 and size >= 1e6):
            return f"{value / size:.3g} {unit}"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def show_bytes(value: float | str) -> str:
    """Return a number of bytes, in units of a thousand."""
    if isinstance(value, str):
        return printable(value)
    for size, unit in UNITS:
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}B"
    return f"{value:.0f} B"


def show_items(items: Iterable[Any]) -> str:
    """Return a list's first items."""
    every = list(items)
    more = f" and {len(every) - MOST_ITEMS} more" if len(every) > MOST_ITEMS else ""
    return ", ".join(map(show_item, every[:MOST_ITEMS])) + more


def show_item(item: Any) -> str:
    """Return an item of a list."""
    if not isinstance(item, str):
        return f"{item:g}" if isinstance(item, float) else str(item)
    return printable(item, LONGEST_ITEM)


def say_length(seconds: float) -> str:
    """Return a length of time, in its largest unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            number = seconds / size
            return (
                f"{number:.0f} {unit}" if number >= 10 or abs(number - round(number)) < 0.05 else f"{number:.1f} {unit}"
            )
    return f"{max(0.0, seconds):.0f} s"


def begin(sentence: str) -> str:
    """Return a sentence with a capital letter, but a name that it begins with as it is."""
    first = sentence.partition(" ")[0]
    return sentence[:1].upper() + sentence[1:] if first.isalpha() else sentence


def say_clock(seconds: float) -> str:
    """Return a time of day, with the date, in the local time zone."""
    try:
        return time.strftime("%d %b %H:%M", time.localtime(seconds))
    except (OverflowError, OSError, ValueError):  # what was replayed may claim any time
        return "an unknown time"

"""Sentences: an alarm in words that name what is not normal, for the log, for tables and for whoever hears of it.

They are made of an event, never of a report. Whatever a device can choose is shown so that it cannot steer a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from defender_daemon.text import printable
from defender_detect.evaluate.address_sets import AddressSet
from defender_detect.evaluate.alarms import ALARM_INVALIDATED, IN_ALARM
from defender_detect.metrics import SILENCE

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event, Group

MOST_NAMED = 3  # of what is not normal; the others are counted
MOST_NAMES = 10  # of things and of behaviors that a message of many keeps
LONGEST_ITEM = 60  # characters of an item of a list
LIMITS = {
    "less-than": "below",
    "less-than-equals": "at most",
    "greater-than": "above",
    "greater-than-equals": "at least",
}
TRAFFIC = {  # what a thing did, and whether it is counted in bytes
    "aws:all-bytes-in": ("received", True),
    "aws:all-bytes-out": ("sent", True),
    "aws:all-packets-in": ("received", False),
    "aws:all-packets-out": ("sent", False),
}
COUNTED = {  # one, and more of them
    "aws:num-listening-tcp-ports": ("{} TCP port is listening", "{} TCP ports are listening"),
    "aws:num-listening-udp-ports": ("{} UDP port is listening", "{} UDP ports are listening"),
    "aws:num-established-tcp-connections": ("has {} TCP connection", "has {} TCP connections"),
}
LISTED = {  # one and more of what is not normal, and all is normal
    "aws:listening-tcp-ports": (
        "TCP port {} is listening", "TCP ports {} are listening", "only normal TCP ports are listening",
    ),
    "aws:listening-udp-ports": (
        "UDP port {} is listening", "UDP ports {} are listening", "only normal UDP ports are listening",
    ),
    "aws:destination-ip-addresses": (
        "is connected to {}", "is connected to {}", "is connected to normal addresses only",
    ),
}  # fmt: skip
WINDOWS = {300: "5 minutes", 600: "10 minutes", 900: "15 minutes", 1800: "half an hour", 3600: "an hour"}
SIZES = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))  # decimal, as in the limits that people write
NOTHING_FOLLOWS = "no report for two days, or its behavior is no longer there"


def line_of(event: Event) -> str:
    """Return an event in one line: who, what happened, what is not normal, and by which behavior."""
    rule = f"{event.behavior} of {event.profile}"
    if event.group is None:
        return f"{subject_of(event)}: {event.type}: {sentence_of(event)} ({rule})"
    group, things = event.group, things_of(event.group)
    if not group.rules:
        return f"{things}: {event.type}: {sentence_of(event)} (the first of {group.number:,}; {rule})"
    first = line_of(replace(event, group=None))
    return f"{group.number:,} alarms of {enumerated(group.rules)}, {things}; the first: {first}"


def things_of(group: Group) -> str:
    """Return whom a message of many is about: all names, or the first of them."""
    has_all = len(group.things) < MOST_NAMES
    return enumerated([printable(each) for each in group.things], len(group.things) if has_all else group.number)


def trial_of(event: Event) -> str:
    """Return an event in one line for whoever tries a profile: the behavior stands first."""
    return f"{subject_of(event)}: {event.type}: {event.behavior} of {event.profile}: {sentence_of(event)}"


def subject_of(event: Event) -> str:
    """Return whose event it is."""
    return printable(event.thing)


def sentence_of(event: Event) -> str:
    """Return what is not normal, or normal again, in words."""
    return explain(event.type, event.metric, event.value, event.criteria, event.threshold)


def explain(kind: str, metric: str, value: Any, criteria: Mapping[str, Any], threshold: float | None = None) -> str:
    """Return a violation in words: `kind` is the event's type, `value` a number or a list, None where there is none.

    `threshold` is the percentile that held, None if it is not known or there is none.
    """
    if kind == ALARM_INVALIDATED or value is None:
        return NOTHING_FOLLOWS if kind == ALARM_INVALIDATED else f"{metric} is {_not_normal(kind)}"
    if isinstance(value, (tuple, list)):
        return _explain_list(kind, metric, value, criteria)
    return _explain_number(kind, metric, value, criteria, threshold)


def shown_item(item: object) -> str:
    """Show an item as it is, or as JSON if it is text with anything but what is seen and separates nothing."""
    if isinstance(item, str):
        cut = item if len(item) <= LONGEST_ITEM else f"{item[: LONGEST_ITEM - 3]}..."
        is_plain = cut.isascii() and cut.isprintable() and cut and "," not in cut
        return cut if is_plain else json.dumps(cut)
    return json.dumps(item)


def shown_number(value: float) -> str:
    """Show a number with separators between its thousands."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.15g}"


def shown_span(minutes: float) -> str:
    """Show a time in minutes, or in the largest units that say it."""
    days, rest = divmod(int(minutes), 24 * 60)
    units = ((days, "day"), (rest // 60, "hour"), (rest % 60, "minute"))
    said = [f"{number} {unit}{'s'[: number != 1]}" for number, unit in units if number]
    return " ".join(said[:2]) or "0 minutes"


def shown_size(value: float) -> str:
    """Show a number of bytes with three digits that count."""
    for size, unit in SIZES:
        if value >= size * 0.9995:  # which is shown as 1 of it
            digits = value / size
            return f"{digits:.3g} {unit}" if digits < 999.5 else f"{digits:,.0f} {unit}"
    return f"{shown_number(value)} byte{'s'[: value != 1]}"


def _not_normal(kind: str) -> str:
    return "not normal" if kind == IN_ALARM else "normal again"


def _explain_number(kind: str, metric: str, value: float, criteria: Mapping[str, Any], threshold: float | None) -> str:
    limit = next(iter(criteria.get("value", {}).values()), threshold)
    if isinstance(limit, (list, tuple)):  # the behavior was of a list when the alarm began
        return f"{metric} is {_not_normal(kind)}"
    show = _shower(metric, value, limit)
    if metric == SILENCE:
        said = f"has not reported for {show(value)}" if kind == IN_ALARM else "reports"
    else:
        said = _say_number(metric, value, show(value), criteria.get("durationSeconds"))
    normal = _say_limit(criteria, None if limit is None else show(limit))
    if kind == IN_ALARM:
        return f"{said}, normal is {normal}{_in_a_row(criteria, 'consecutiveDatapointsToAlarm')}"
    again = f"{said} again" if metric == SILENCE else f"{said}, which is normal again ({normal})"
    return again + _in_a_row(criteria, "consecutiveDatapointsToClear")


def _shower(metric: str, value: float, limit: float | None) -> Callable[[float], str]:
    """Return what shows both numbers; in full if they would look alike otherwise."""
    if metric == SILENCE:
        return shown_span
    if not TRAFFIC.get(metric, ("", False))[1]:
        return shown_number
    if limit is not None and limit != value and shown_size(limit) == shown_size(value):
        return lambda number: f"{shown_number(number)} bytes"
    return shown_size


def _say_number(metric: str, value: float, shown: str, duration: int | None) -> str:
    if metric in TRAFFIC:
        verb, is_bytes = TRAFFIC[metric]
        packets = "" if is_bytes else f" packet{'s'[: value != 1]}"
        return f"{verb} {shown}{packets} {_window(duration)}"
    if metric in COUNTED:
        return COUNTED[metric][value != 1].format(shown)
    return f"{metric} is {shown}"


def _window(duration: int | None) -> str:
    if not duration:
        return "since its last report"
    return f"in {WINDOWS.get(duration) or shown_span(duration / 60)}"


def _say_limit(criteria: Mapping[str, Any], limit: str | None) -> str:
    words = LIMITS.get(criteria.get("comparisonOperator", ""), "another value than")
    statistic = criteria.get("statisticalThreshold", {}).get("statistic")
    if not statistic:
        return f"{words} {limit}"
    return f"{words} the {statistic} of all things" + (f" ({limit})" if limit is not None else "")


def _in_a_row(criteria: Mapping[str, Any], key: str) -> str:
    number = criteria.get(key, 1)
    return f", for {number} datapoints in a row" if number > 1 else ""


def _explain_list(kind: str, metric: str, value: Sequence[Any], criteria: Mapping[str, Any]) -> str:
    one, more, normal = LISTED.get(metric, (f"{metric} has {{}}", f"{metric} has {{}}", f"all of {metric} is normal"))
    if kind != IN_ALARM:
        return f"{normal} again{_in_a_row(criteria, 'consecutiveDatapointsToClear')}"
    wrong = find_culprits(value, criteria)
    if not wrong:
        return f"{metric} is not normal"
    names = [shown_item(each) for each in wrong[: MOST_NAMED + 1]]  # as many as can be named
    said = (one if len(wrong) == 1 else more).format(enumerated(names, len(wrong)))
    return f"{said}, which is not normal{_in_a_row(criteria, 'consecutiveDatapointsToAlarm')}"


def enumerated(names: Sequence[str], count: int | None = None, most: int = MOST_NAMED) -> str:
    """Return names in a row, the first of them if there are many, and how many more there are of `count`."""
    count = len(names) if count is None else count
    named = list(names[: most if count > most + 1 else most + 1])
    left = count - len(named)
    if left > 0:
        return f"{', '.join(named)} and {left:,} more"
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]])) if named else ""


def find_culprits(value: Sequence[Any], criteria: Mapping[str, Any]) -> list[Any]:
    """Return the items of a list that its behavior does not call normal, each once."""
    operator, items = criteria.get("comparisonOperator", ""), next(iter(criteria.get("value", {}).values()), ())
    if not isinstance(items, (list, tuple)):
        return []
    is_inside = not operator.startswith("not-")
    known = addresses_of(tuple(items)) if operator.endswith("cidr-set") else frozenset(items)
    return [each for each in dict.fromkeys(value) if _is_in(each, known) is not is_inside]


@lru_cache(64)
def addresses_of(cidrs: tuple[str, ...]) -> AddressSet:
    """Return a set of addresses, the same for events of one behavior."""
    return AddressSet(cidrs)


def _is_in(item: Any, known: AddressSet | frozenset[Any]) -> bool:
    try:
        return item in known
    except ValueError:  # no address, and so nothing that is normal
        return False

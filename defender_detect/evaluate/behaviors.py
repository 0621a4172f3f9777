"""Whether a thing behaves: a report's metric, with what came before, against what its security profile calls normal."""

from __future__ import annotations

import math
import operator
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any, NewType, Optional

from defender_detect.evaluate.address_sets import AddressSet
from defender_detect.metrics import SILENCE, SUMMED, Value, as_count
from defender_detect.profiles import Behavior, Criteria

History = NewType("History", bytes)  # doubles: since when reports are known, then each one's time and value
Evaluated = tuple[History, Optional[Value], Optional[bool]]  # the history after it, the datapoint, its compliance
Evaluation = Callable[[History, Optional[Value], float, Optional[float]], Evaluated]
Compliance = Callable[[Any], Optional[bool]]

NO_HISTORY = History(b"")
TOLERANCE = 0.01  # of the duration: reports come every 300 s, but not exactly, and two of them must not count as 300 s
MOST_POINTS = 64  # that a window tells apart, 1 KB; more are put together. An hour of reports every 300 s has 12

ONE_POINT = struct.Struct("<3d")
NUMBER, POINT = struct.Struct("<d"), struct.Struct("<2d")

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "less-than": operator.lt,
    "less-than-equals": operator.le,
    "greater-than": operator.gt,
    "greater-than-equals": operator.ge,
}
UPWARDS = ("greater-than", "greater-than-equals")  # what is missing from a window could still make these true


def evaluate(
    history: History, behavior: Behavior, value: Value | None, now: float, threshold: float | None = None
) -> Evaluated:
    """Return the history after a report, the datapoint that it makes, and whether that is in compliance.

    `value` is the behavior's metric in the report, None if it is not there: that is no datapoint. `threshold` is the
    percentile for a statisticalThreshold. Compliance is None, too, where it cannot be known: the threshold is not, the
    window is not full yet, or the value is of another type than the behavior's.
    """
    return compile_behavior(behavior)(history, value, now, threshold)


def compile_behavior(behavior: Behavior) -> Evaluation:
    """Return `evaluate` for one behavior, to be called (history, value, now, threshold) for each report."""
    criteria = behavior.criteria
    if behavior.metric == SILENCE:
        return compile_silence(criteria)
    if criteria.operator not in COMPARISONS:
        return compile_list(criteria)
    if behavior.metric in SUMMED and criteria.duration:
        return compile_window(criteria)
    return compile_number(criteria)


def compile_number(criteria: Criteria) -> Evaluation:
    """Return the evaluation of a number that stands for itself, as of now."""
    compare, limit, is_ranked = COMPARISONS[criteria.operator], criteria.value, criteria.statistic is not None

    def evaluate_number(history: History, value: Any, now: float, threshold: float | None = None) -> Evaluated:
        if value is None or type(value) is tuple:
            return history, None, None
        if is_ranked:
            return history, value, None if threshold is None else compare(value, threshold)
        return history, value, compare(value, limit)

    return evaluate_number


def compile_silence(criteria: Criteria) -> Evaluation:
    """Return the evaluation of the minutes since the last report; a report, which cannot say them, makes them 0."""
    compare, limit = COMPARISONS[criteria.operator], criteria.value

    def evaluate_silence(history: History, value: Any, now: float, threshold: float | None = None) -> Evaluated:
        minutes = value or 0
        return history, minutes, compare(minutes, limit)

    return evaluate_silence


def compile_window(criteria: Criteria) -> Evaluation:
    """Return the evaluation of a sum over the window."""
    compare, fixed = COMPARISONS[criteria.operator], criteria.value
    is_ranked, duration = criteria.statistic is not None, float(criteria.duration or 0)
    is_upwards = criteria.operator in UPWARDS

    def evaluate_window(history: History, value: Any, now: float, threshold: float | None = None) -> Evaluated:
        if value is None or type(value) is tuple:
            return history, None, None
        history, total, is_full = add_to_window(history, value, now, duration)
        limit = threshold if is_ranked else fixed
        if limit is None:
            return history, total, None
        conforms = compare(total, limit)
        return history, total, None if is_upwards and not (is_full or conforms) else conforms

    return evaluate_window


def add_to_window(history: History, value: float, now: float, duration: float) -> tuple[History, float, bool]:
    """Return the history with a report's value, the sum over the window, and whether all of the window is known.

    A window ends with the report. What the history has of the same or a later time is replaced: that report came
    twice, or the clock was set back.
    """
    start = now - duration * (1 - TOLERANCE)
    if not history:
        return History(ONE_POINT.pack(now, now, value)), value, False
    numbers = struct.unpack(f"<{len(history) // 8}d", history)
    since, times = min(numbers[0], now), numbers[1::2]
    first, end = bisect_right(times, start), bisect_left(times, now)
    values = numbers[2 * first + 2 : 2 * end + 1 : 2]
    total = math.fsum((*values, value))
    time, number = now, float(value)
    if len(values) >= MOST_POINTS and now - times[end - 1] < duration / MOST_POINTS:  # the last is hardly older
        end -= 1
        time, number = times[end], values[-1] + value
    kept = history[NUMBER.size + POINT.size * first : NUMBER.size + POINT.size * end]
    packed = History(NUMBER.pack(since) + kept + POINT.pack(time, number))
    return packed, as_count(int(total) if total.is_integer() else total), since <= start


def compile_list(criteria: Criteria) -> Evaluation:
    """Return the evaluation of a list, which conforms if every item does: an empty one always."""
    find_compliance = compile_set(criteria)

    def evaluate_list(history: History, value: Any, now: float, threshold: float | None = None) -> Evaluated:
        if type(value) is not tuple:
            return history, None, None
        conforms = find_compliance(value) if value else True
        return history, (None if conforms is None else value), conforms

    return evaluate_list


def compile_set(criteria: Criteria) -> Compliance:
    """Return the function that tells whether all of some items are in a set, or none of them; None if types differ."""
    value, is_inside = criteria.value, not criteria.operator.startswith("not-")
    items = value if isinstance(value, tuple) else ()
    if criteria.kind == "cidrs":
        return compile_addresses(AddressSet(map(str, items)), is_inside)
    members = frozenset(items)
    find_compliance: Callable[[Any], bool] = members.issuperset if is_inside else members.isdisjoint
    has_strings = criteria.kind == "strings"
    return lambda listed: find_compliance(listed) if isinstance(listed[0], str) is has_strings else None


def compile_addresses(addresses: AddressSet, is_inside: bool) -> Compliance:
    """Return the function that tells whether all of some addresses are in a set, or none of them."""

    def find_compliance(listed: tuple[Any, ...]) -> bool | None:
        try:
            return all([(address in addresses) is is_inside for address in listed])  # noqa: C419 - faster
        except (ValueError, TypeError):  # not a list of addresses
            return None

    return find_compliance

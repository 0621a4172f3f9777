"""Whether a thing behaves: a report's metric, with what came before, against what its security profile calls normal."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Optional

from defender_detect.evaluate.address_sets import AddressSet
from defender_detect.evaluate.percentiles import percentile
from defender_detect.evaluate.windows import NO_HISTORY, History, add_to_window
from defender_detect.metrics import SUMMED, Value
from defender_detect.profiles import Behavior, Criteria

__all__ = ["NO_HISTORY", "Evaluated", "Evaluation", "History", "compile_behavior", "evaluate", "percentile"]

Evaluated = tuple[History, Optional[Value], Optional[bool]]  # the history after it, the datapoint, its compliance
Evaluation = Callable[[History, Optional[Value], float, Optional[float]], Evaluated]
Compliance = Callable[[Any], Optional[bool]]

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

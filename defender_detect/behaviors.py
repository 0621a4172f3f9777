"""Whether a thing behaves: a report's metric, with what came before, against what its security profile calls normal."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NewType, Optional

from defender_detect.metrics import Value
from defender_detect.profiles import Behavior

History = NewType("History", bytes)  # what a window has to remember: times and values, packed
Evaluated = tuple[History, Optional[Value], Optional[bool]]
Evaluation = Callable[[History, Optional[Value], float, Optional[float]], Evaluated]

NO_HISTORY = History(b"")
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "less-than": operator.lt,
    "less-than-equals": operator.le,
    "greater-than": operator.gt,
    "greater-than-equals": operator.ge,
}


def compile_behavior(behavior: Behavior) -> Evaluation:
    """Return the function that evaluates a behavior: (history, value, now, threshold) -> as `evaluate`."""
    compare, limit = COMPARISONS.get(behavior.criteria.operator), behavior.criteria.value

    def run(history: History, value: Value | None, now: float, threshold: float | None = None) -> Evaluated:
        if value is None or compare is None:
            return history, None, None
        return history, value, compare(value, limit)

    return run


def evaluate(
    history: History, behavior: Behavior, value: Value | None, now: float, threshold: float | None = None
) -> Evaluated:
    """Return the history after a report, the datapoint that it makes, and whether that is in compliance.

    Datapoint and compliance are None where the report does not hold the metric.
    """
    return compile_behavior(behavior)(history, value, now, threshold)

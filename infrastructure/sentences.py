"""What a security profile will do, in sentences: a behavior says what is normal, its sentence when it alarms."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST_VALUES = 4  # of a list, in a sentence
# A comparison of CreateSecurityProfile, and what is said where it is not so.
VIOLATIONS = {
    "less-than": "is {} or more",
    "less-than-equals": "is above {}",
    "greater-than": "is {} or less",
    "greater-than-equals": "is below {}",
    "in-cidr-set": "holds an address outside {}",
    "not-in-cidr-set": "holds an address of {}",
    "in-port-set": "holds a port other than {}",
    "not-in-port-set": "holds one of the ports {}",
    "in-set": "holds anything but {}",
    "not-in-set": "holds one of {}",
}


def profile_sentences(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a profile (as the API takes it) will do: a sentence for each behavior, and one for what it keeps."""
    for behavior in document.get("behaviors", []):
        yield behavior_sentence(behavior)
    retained = [entry["metric"] for entry in document.get("additionalMetricsToRetainV2", [])]
    retained += document.get("additionalMetricsToRetain", [])
    if retained:
        yield f"keeps without an alarm: {', '.join(retained)}"


def behavior_sentence(behavior: Mapping[str, Any]) -> str:
    """Return when a behavior alarms, and when it stops."""
    name, criteria = behavior["name"], behavior.get("criteria", {})
    metric = behavior["metric"] + _dimension(behavior.get("metricDimension", {}))
    if not criteria:
        return f"{name}: keeps {metric} without an alarm"
    quiet = " (recorded only: its alerts are suppressed)" if behavior.get("suppressAlerts") else ""
    return f"{name}: alarms when {metric} {_violation(criteria)}{_window(criteria)}{_counts(criteria)}{quiet}"


def _dimension(dimension: Mapping[str, Any]) -> str:
    if not dimension:
        return ""
    return f" ({dimension.get('operator', 'IN')} {dimension.get('dimensionName', '')})"


def _violation(criteria: Mapping[str, Any]) -> str:
    if "mlDetectionConfig" in criteria:
        level = criteria["mlDetectionConfig"].get("confidenceLevel", "")
        return f"is unlike its last 14 days (machine learning, confidence {level})"
    operator = criteria.get("comparisonOperator", "")
    if "statisticalThreshold" in criteria:
        value = f"the {criteria['statisticalThreshold'].get('statistic', '')} of the fleet"
    else:
        value = _value(next(iter(criteria.get("value", {}).values()), ""))
    return VIOLATIONS.get(operator, f"is not {operator} {{}}").format(value)


def _value(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        shown = ", ".join(map(_value, value[:MOST_VALUES]))
        return f"{shown} and {len(value) - MOST_VALUES} more" if len(value) > MOST_VALUES else shown or "nothing"
    return value if isinstance(value, str) else json.dumps(value)


def _window(criteria: Mapping[str, Any]) -> str:
    seconds = criteria.get("durationSeconds")
    return f" within {seconds // 60} minutes" if seconds else ""


def _counts(criteria: Mapping[str, Any]) -> str:
    begins, ends = (criteria.get(f"consecutiveDatapointsTo{verb}", 1) for verb in ("Alarm", "Clear"))
    begin = f", {begins} times in a row" if begins != 1 else ""
    return begin + (f"; clears after {ends} times in a row that are not" if ends != 1 else "")

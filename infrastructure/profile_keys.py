"""The keys of CreateSecurityProfile's JSON, and what in a document is none of them."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

SHOWN_KEYS = 10  # of the known ones, where none is like the unknown one
_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")

# None stands for a plain value, {...} for an object with these keys, [...] for a list of such items.
_DIMENSION = {"dimensionName": None, "operator": None}
_VALUE: Mapping[str, Any] = {
    "count": None,
    "cidrs": [None],
    "ports": [None],
    "number": None,
    "numbers": [None],
    "strings": [None],
}
_CRITERIA: Mapping[str, Any] = {
    "comparisonOperator": None,
    "value": _VALUE,
    "durationSeconds": None,
    "consecutiveDatapointsToAlarm": None,
    "consecutiveDatapointsToClear": None,
    "statisticalThreshold": {"statistic": None},
    "mlDetectionConfig": {"confidenceLevel": None},
}
_BEHAVIOR: Mapping[str, Any] = {
    "name": None,
    "metric": None,
    "metricDimension": _DIMENSION,
    "criteria": _CRITERIA,
    "suppressAlerts": None,
    "exportMetric": None,
}
PROFILE: Mapping[str, Any] = {
    "securityProfileName": None,
    "securityProfileDescription": None,
    "behaviors": [_BEHAVIOR],
    "alertTargets": {"SNS": {"alertTargetArn": None, "roleArn": None}},
    "additionalMetricsToRetain": [None],
    "additionalMetricsToRetainV2": [{"metric": None, "metricDimension": _DIMENSION, "exportMetric": None}],
    "tags": [{"Key": None, "Value": None}],
    "metricsExportConfig": {"mqttTopic": None, "roleArn": None},
}


def find_problems(document: Any) -> list[str]:
    """Return what keeps a document from being provisioned, as sentences; whether its values are right, AWS says."""
    problems = list(_find_wrong_keys(document, PROFILE, ""))
    return problems or list(_find_wrong_names(document))


def _find_wrong_keys(value: Any, shape: Any, place: str) -> Iterator[str]:
    if isinstance(shape, Mapping):
        yield from _find_wrong_in_object(value, shape, place)
    elif isinstance(shape, list):
        yield from _find_wrong_in_list(value, shape[0], place)


def _find_wrong_in_object(value: Any, shape: Mapping[str, Any], place: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place or 'the document'} must be an object, got {_show(value)}"
        return
    for key, inner in value.items():
        if key in shape:
            yield from _find_wrong_keys(inner, shape[key], f"{place}.{key}" if place else key)
        else:
            yield f"{place or 'the document'} has no key {_show(key)}: {_suggest(key, shape)}"


def _find_wrong_in_list(value: Any, shape: Any, place: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{place} must be an array, got {_show(value)}"
        return
    for index, item in enumerate(value):
        yield from _find_wrong_keys(item, shape, f"{place}[{index}]")


def _find_wrong_names(document: Mapping[str, Any]) -> Iterator[str]:
    names = {"securityProfileName": document.get("securityProfileName")}
    names |= {f"additionalMetricsToRetain[{i}]": name for i, name in enumerate(document.get("additionalMetricsToRetain", []))}
    for section, keys in (("behaviors", ("name", "metric")), ("additionalMetricsToRetainV2", ("metric",))):
        for index, item in enumerate(document.get(section, [])):
            names |= {f"{section}[{index}].{key}": item.get(key) for key in keys}
    for place, name in names.items():
        if name is None:
            yield f"{place} is missing"
        elif not isinstance(name, str) or not _NAME.fullmatch(name):
            yield f"{place} must be 1 to 128 of a-z A-Z 0-9 : _ -, got {_show(name)}"


def _suggest(key: str, known: Mapping[str, Any]) -> str:
    if close := difflib.get_close_matches(key, known, 1):
        return f"did you mean {_show(close[0])}?"
    return f"there is {', '.join(known)}"


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}..."

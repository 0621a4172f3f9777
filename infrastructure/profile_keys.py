"""The keys of CreateSecurityProfile's JSON, and what in a document is none of them."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

_SHOWN = 80  # characters of a value
_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")

# {...} stands for an object with these keys, [...] for a list of such items, a type for a value of it; float takes any
# number. What is wrong here would come out of aws_cdk as a page of JavaScript.
_DIMENSION = {"dimensionName": str, "operator": str}
_VALUE: Mapping[str, Any] = {
    "count": int,
    "cidrs": [str],
    "ports": [int],
    "number": float,
    "numbers": [float],
    "strings": [str],
}
_CRITERIA: Mapping[str, Any] = {
    "comparisonOperator": str,
    "value": _VALUE,
    "durationSeconds": int,
    "consecutiveDatapointsToAlarm": int,
    "consecutiveDatapointsToClear": int,
    "statisticalThreshold": {"statistic": str},
    "mlDetectionConfig": {"confidenceLevel": str},
}
_BEHAVIOR: Mapping[str, Any] = {
    "name": str,
    "metric": str,
    "metricDimension": _DIMENSION,
    "criteria": _CRITERIA,
    "suppressAlerts": bool,
    "exportMetric": bool,
}
PROFILE: Mapping[str, Any] = {
    "securityProfileName": str,
    "securityProfileDescription": str,
    "behaviors": [_BEHAVIOR],
    "alertTargets": {"SNS": {"alertTargetArn": str, "roleArn": str}},
    "additionalMetricsToRetain": [str],
    "additionalMetricsToRetainV2": [{"metric": str, "metricDimension": _DIMENSION, "exportMetric": bool}],
    "tags": [{"Key": str, "Value": str}],
    "metricsExportConfig": {"mqttTopic": str, "roleArn": str},
}
_RULES = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "an array",
}


def find_problems(document: Any) -> list[str]:
    """Return what keeps a document from being provisioned, as sentences; whether its values are right, AWS says."""
    return list(_find_wrong_values(document, PROFILE, "")) or list(_find_wrong_names(document))


def _find_wrong_values(value: Any, shape: Any, place: str) -> Iterator[str]:
    kind = shape if isinstance(shape, type) else type(shape)
    if not _is_a(value, kind):
        yield f"{place or 'the document'} must be {_RULES[kind]}, got {_show(value)}"
    elif kind is list:
        for index, item in enumerate(value):
            yield from _find_wrong_values(item, shape[0], f"{place}[{index}]")
    elif kind is dict:
        yield from _find_wrong_keys(value, shape, place)


def _is_a(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    if isinstance(value, float):
        return kind is float and math.isfinite(value)
    return isinstance(value, (kind, int) if kind is float else kind)


def _find_wrong_keys(value: Mapping[str, Any], shape: Mapping[str, Any], place: str) -> Iterator[str]:
    for key, inner in value.items():
        if key in shape:
            yield from _find_wrong_values(inner, shape[key], f"{place}.{key}" if place else key)
        else:
            yield f"{place or 'the document'} has no key {_show(key)}: {_suggest(key, shape)}"


def _find_wrong_names(document: Mapping[str, Any]) -> Iterator[str]:
    for index, tag in enumerate(document.get("tags", [])):
        for key in ("Key", "Value"):
            if not tag.get(key):  # the API takes a tag without a value
                yield f"tags[{index}].{key} must not be empty, which CloudFormation does not take"
    for place, name in _list_names(document):
        if name is None:
            yield f"{place} is missing"
        elif not _NAME.fullmatch(name):
            yield f"{place} must be 1 to 128 of a-z A-Z 0-9 : _ -, got {_show(name)}"


def _list_names(document: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    yield "securityProfileName", document.get("securityProfileName")
    for index, behavior in enumerate(document.get("behaviors", [])):
        yield f"behaviors[{index}].name", behavior.get("name")
        yield f"behaviors[{index}].metric", behavior.get("metric")
    for index, name in enumerate(document.get("additionalMetricsToRetain", [])):
        yield f"additionalMetricsToRetain[{index}]", name
    for index, entry in enumerate(document.get("additionalMetricsToRetainV2", [])):
        yield f"additionalMetricsToRetainV2[{index}].metric", entry.get("metric")


def _suggest(key: str, known: Mapping[str, Any]) -> str:
    if close := difflib.get_close_matches(key, known, 1):
        return f"did you mean {_show(close[0])}?"
    return f"there is {', '.join(known)}"


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

"""The API's shapes of what Detect knows: a metric's value, a behavior, and the body of an alert."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Union

from defender_detect.evaluate.sentences import line_of
from defender_detect.metrics import METRICS
from device_defender.report import is_address

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event, Violation
    from defender_detect.metrics import Value

    Alarm = Union[Event, Violation]

LISTS = {"cidrs", "ports", "numbers", "strings"}


def metric_value(kind: str, value: Value | None) -> dict[str, Any]:
    """Return a value as a MetricValue: `{"count": 5}`; empty where there is none."""
    if value is None:
        return {}
    if kind in LISTS:
        return {kind: list(value) if isinstance(value, tuple) else [value]}
    is_whole = isinstance(value, float) and value.is_integer()
    return {kind: int(value) if kind == "count" and is_whole and isinstance(value, float) else value}


def behavior_of(alarm: Alarm) -> dict[str, Any]:
    """Return what a behavior says, as ListActiveViolations and alerts do."""
    return {"name": alarm.behavior, "metric": alarm.metric, "criteria": dict(alarm.criteria)}


def alert_body(event: Event) -> dict[str, Any]:
    """Return the body of the message that AWS sends to an SNS topic, and what it means in words.

    One that stands for others says so in `group`.
    """
    body: dict[str, Any] = {
        "violationEventTime": round(event.time * 1000),
        "thingName": event.thing,
        "behavior": behavior_of(event),
        "violationEventType": event.type,
        "metricValue": metric_value(event.kind, event.value),
        "violationId": event.violation_id,
        "securityProfileName": event.profile,
        "message": line_of(event),
    }
    if event.group is not None:
        body["group"] = {"count": event.group.number, "thingNames": list(event.group.things)}
    return body


def kind_of(metric: str, values: Iterable[Value], kinds: Mapping[str, str] = METRICS) -> str:
    """Return the key that a metric's values have in the API; a custom metric's is told from the values themselves."""
    if metric in kinds:
        return kinds[metric]
    for value in values:
        if not isinstance(value, tuple):
            return "number"
        if value:
            return kind_of_items(value)
    return "strings"


def kind_of_items(items: tuple[Any, ...]) -> str:
    """Return the key of a custom list by its items: addresses are strings too, and all of a list's items are alike."""
    if not all(isinstance(item, str) for item in items):
        return "numbers"
    return "cidrs" if all(is_address(item) for item in items) else "strings"

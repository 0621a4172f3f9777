"""Alarms and values in the shapes of AWS's API."""

from __future__ import annotations

from typing import Any

import pytest

from defender_detect.evaluate.shapes import alert_body, kind_of, metric_value
from tests.detect.store.test_store import CRITERIA, event

BODY = {
    "violationEventTime": 1_800_000_000_250,
    "thingName": "rpi-1",
    "behavior": {"name": "cpu", "metric": "cpu_usage", "criteria": CRITERIA},
    "violationEventType": "in-alarm",
    "metricValue": {"number": 99.5},
    "violationId": "id-rpi-1",
    "securityProfileName": "cpu-usage",
    "message": "rpi-1: in-alarm: cpu_usage is 99.5, normal is at most 75 (cpu of cpu-usage)",
}


def test_the_body_is_that_of_awss_message_and_one_more_key() -> None:
    assert BODY == alert_body(event())
    assert {} == alert_body(event("alarm-invalidated", value=None))["metricValue"]
    assert {"ports": [22, 80]} == alert_body(event(value=(22, 80), kind="ports"))["metricValue"]


@pytest.mark.parametrize(
    ("metric", "values", "kind"),
    [
        ("aws:listening-tcp-ports", [()], "ports"),
        ("aws:all-bytes-in", [5], "count"),
        ("mine", [5.5], "number"),
        ("mine", [(), (1, 2)], "numbers"),
        ("mine", [(), ("sshd",)], "strings"),
        ("mine", [("10.0.0.1", "2001:db8::1")], "cidrs"),
        ("mine", [("10.0.0.1", "sshd")], "strings"),
        ("mine", [()], "strings"),
        ("mine", [], "strings"),
    ],
)
def test_a_metrics_kind_is_told_by_its_name_or_its_values(metric: str, values: Any, kind: str) -> None:
    assert kind == kind_of(metric, values)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [("count", 5.0, 5), ("count", 5.5, 5.5), ("number", 5.0, 5.0), ("ports", (22,), [22]), ("strings", (), [])],
)
def test_a_value_has_the_key_of_its_kind(kind: str, value: Any, expected: Any) -> None:
    assert {kind: expected} == metric_value(kind, value)
    assert type(expected) is type(metric_value(kind, value)[kind])

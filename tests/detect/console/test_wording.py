"""What is stored is said as a person says it, and nothing that a thing chose steers whoever reads it."""

from __future__ import annotations

from typing import Any

import pytest

from defender_detect.console.wording import begin, say_behavior, say_length, say_normal, show_items, show_value
from tests.detect.console.conftest import HOSTILE

AT_MOST, ONLY, NONE = "less-than-equals", "in-port-set", "not-in-set"


def criteria(operator: str, kind: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"comparisonOperator": operator, "value": {kind: value}, **more}


@pytest.mark.parametrize(
    ("metric", "document", "normal", "alarming"),
    [
        (
            "aws:all-bytes-out", criteria(AT_MOST, "count", 50_000_000, durationSeconds=3600),
            "at most 50 MB in 1 h", "Alarms on bytes sent: more than 50 MB in 1 h",
        ),
        (
            "cpu_usage", criteria("less-than", "number", 75, consecutiveDatapointsToAlarm=3),
            "below 75%", "Alarms on cpu_usage: 75% or more, 3 reports in a row",
        ),
        ("aws:listening-tcp-ports", criteria(ONLY, "ports", [22]),
         "only port 22", "Alarms on listening TCP ports: any port but 22"),
        ("aws:listening-tcp-ports", criteria(ONLY, "ports", []),
         "none", "Alarms on listening TCP ports: any port"),
        ("names", criteria(NONE, "strings", ["a", "b"]),
         "none of the values a, b", "Alarms on names: any of the values a, b"),
        (
            "aws:destination-ip-addresses", criteria("not-in-cidr-set", "cidrs", ["192.0.2.0/24"]),
            "none of the address 192.0.2.0/24", "Alarms on destinations: address 192.0.2.0/24",
        ),
        (
            "aws:all-bytes-in",
            {"comparisonOperator": "less-than", "statisticalThreshold": {"statistic": "p99"}, "durationSeconds": 300},
            "below the p99 of all things in 5 min",
            "Alarms on bytes received: the p99 of all things or more in 5 min",
        ),
        ("aws:disconnect-duration", criteria("less-than", "count", 15),
         "below 15 min", "Alarms on time without a report: 15 min or more"),
    ],
)  # fmt: skip
def test_a_behavior_is_a_sentence(metric: str, document: dict[str, Any], normal: str, alarming: str) -> None:
    assert normal == say_normal(document, metric)
    assert alarming == say_behavior(metric, document)


@pytest.mark.parametrize("document", [{}, {"comparisonOperator": "other"}, {"value": {}}, {"value": None},
                                      {"mlDetectionConfig": {"confidenceLevel": "HIGH"}}])  # fmt: skip
def test_criteria_of_any_kind_are_said(document: dict[str, Any]) -> None:
    assert say_normal(document, "m")
    assert say_behavior("m", document)


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("aws:all-bytes-out", 999, "999 B"),
        ("aws:all-bytes-out", 33_500, "33.5 kB"),
        ("aws:all-bytes-out", 10**30, "1e+18 TB"),
        ("aws:all-packets-out", 1234, "1234"),
        ("aws:all-packets-out", 123_456, "123 k"),
        ("n", 2_000_000, "2 M"),
        ("memory_usage", 12.345678, "12.35%"),
        ("n", -3.5, "-3.5"),
        ("n", None, "no value"),
        ("n", (), "none"),
        ("n", (22, 80.5), "22, 80.5"),
        ("n", tuple(range(9)), "0, 1, 2, 3, 4, 5 and 3 more"),
    ],
)
def test_a_value_has_its_unit(metric: str, value: Any, expected: str) -> None:
    assert expected == show_value(metric, value)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-5, "0 s"), (59.4, "59 s"), (60, "1 min"), (90, "1.5 min"), (3600, "1 h"), (45_000, "12 h"), (86_400 * 3, "3 d")],
)
def test_a_length_of_time_is_in_its_largest_unit(seconds: float, expected: str) -> None:
    assert expected == say_length(seconds)


def test_what_is_not_seen_is_shown_and_what_is_long_is_cut() -> None:
    shown = show_items((HOSTILE, "é", "x" * 1000))
    assert "\\u202e\\x1b[31mred" in shown
    assert ", é, " in shown
    assert len(shown) < 250


def test_a_sentence_begins_with_a_capital_but_a_name_does_not() -> None:
    assert ["Sent 5 MB", "cpu_usage is 5", "TCP port", ""] == [
        *map(begin, ("sent 5 MB", "cpu_usage is 5", "TCP port", ""))
    ]

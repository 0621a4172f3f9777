"""An alarm is said in words that name what is not normal, for every kind of metric and operator."""

from __future__ import annotations

from typing import Any

import pytest

from defender_detect.evaluate.sentences import (
    NOTHING_FOLLOWS,
    enumerated,
    explain,
    line_of,
    shown_size,
    shown_span,
    trial_of,
)
from device_defender.profile import OPERATORS
from tests.detect.store.test_store import event

TCP, UDP, OUT, IN = "aws:listening-tcp-ports", "aws:listening-udp-ports", "aws:all-bytes-out", "aws:all-bytes-in"
ADDRESSES, SILENCE = "aws:destination-ip-addresses", "aws:disconnect-duration"
HOSTILE = "\x1b[31m\u202eevil\n"


def criteria(operator: str, value: Any = None, **more: Any) -> dict[str, Any]:
    kind = "cidrs" if "cidr" in operator else "ports" if "port" in operator else "number"
    return {"comparisonOperator": operator, **({} if value is None else {"value": {kind: value}}), **more}


HOUR = {"durationSeconds": 3600}
P90 = {"statisticalThreshold": {"statistic": "p90"}, "durationSeconds": 300}
THREE = {"consecutiveDatapointsToAlarm": 3, "consecutiveDatapointsToClear": 2}
BEGUN: list[tuple[str, Any, dict[str, Any], str]] = [
    (TCP, (22, 4444), criteria("in-port-set", [22]), "TCP port 4444 is listening, which is not normal"),
    (TCP, (4444, 5555), criteria("in-port-set", [22]), "TCP ports 4444 and 5555 are listening, which is not normal"),
    (
        UDP,
        tuple(range(10)),
        criteria("in-port-set", [0]),
        "UDP ports 1, 2, 3 and 6 more are listening, which is not normal",
    ),
    (TCP, (22, 23), criteria("not-in-port-set", [23, 69]), "TCP port 23 is listening, which is not normal"),
    (
        ADDRESSES,
        ("10.0.0.1", "198.51.100.7", "2001:db8::1"),
        criteria("in-cidr-set", ["10.0.0.0/8"]),
        "is connected to 198.51.100.7 and 2001:db8::1, which is not normal",
    ),
    (
        ADDRESSES,
        ("::ffff:203.0.113.9", "10.0.0.1"),
        criteria("not-in-cidr-set", ["203.0.113.0/24"]),
        "is connected to ::ffff:203.0.113.9, which is not normal",
    ),
    ("names", ("sshd", "xmrig"), criteria("in-set", ["sshd"]), "names has xmrig, which is not normal"),
    ("names", ("a", "b"), criteria("not-in-set", ["b"], **THREE), "names has b, which is not normal, "
     "for 3 datapoints in a row"),
    ("names", (HOSTILE,), criteria("in-set", ["x"]), 'names has "\\u001b[31m\\u202eevil\\n", which is not normal'),
    ("sizes", (1, 2.5), criteria("in-set", [1]), "sizes has 2.5, which is not normal"),
    ("mine", ("10.0.0.1",), criteria("in-cidr-set", ["127.0.0.0/8"]), "mine has 10.0.0.1, which is not normal"),
    (OUT, 812_345_678, criteria("less-than-equals", 50_000_000, **HOUR), "sent 812 MB in an hour, normal is at most "
     "50 MB"),
    (OUT, 50_000_001, criteria("less-than-equals", 50_000_000, **HOUR), "sent 50,000,001 bytes in an hour, normal is "
     "at most 50,000,000 bytes"),
    (IN, 3, criteria("greater-than", 1000, durationSeconds=300), "received 3 bytes in 5 minutes, normal is above 1 kB"),
    (IN, 5_000, criteria("less-than", 1000), "received 5 kB since its last report, normal is below 1 kB"),
    ("aws:all-packets-out", 1, criteria("less-than", 1, durationSeconds=900), "sent 1 packet in 15 minutes, normal is "
     "below 1"),
    ("aws:num-listening-tcp-ports", 30, criteria("less-than-equals", 20), "30 TCP ports are listening, normal is at "
     "most 20"),
    ("aws:num-established-tcp-connections", 1, criteria("greater-than-equals", 2), "has 1 TCP connection, normal is at "
     "least 2"),
    ("cpu_usage", 99.5, criteria("less-than-equals", 75, **THREE), "cpu_usage is 99.5, normal is at most 75, for 3 "
     "datapoints in a row"),
    ("cpu_usage", 1234567, criteria("less-than", 75), "cpu_usage is 1,234,567, normal is below 75"),
    (OUT, 7_000_000, criteria("less-than-equals", **P90), "sent 7 MB in 5 minutes, normal is at most the p90 of all "
     "things (1.5 MB)"),
    (SILENCE, 16, criteria("less-than-equals", 15), "has not reported for 16 minutes, normal is at most 15 minutes"),
    (SILENCE, 125, criteria("less-than", 120), "has not reported for 2 hours 5 minutes, normal is below 2 hours"),
]  # fmt: skip
CLEARED: list[tuple[str, Any, dict[str, Any], str]] = [
    (TCP, (22,), criteria("in-port-set", [22]), "only normal TCP ports are listening again"),
    (ADDRESSES, (), criteria("in-cidr-set", []), "is connected to normal addresses only again"),
    ("names", (), criteria("in-set", [], **THREE), "all of names is normal again, for 2 datapoints in a row"),
    (OUT, 1000, criteria("less-than", 5000, **HOUR), "sent 1 kB in an hour, which is normal again (below 5 kB)"),
    ("cpu_usage", 5.0, criteria("less-than-equals", 75), "cpu_usage is 5, which is normal again (at most 75)"),
    (SILENCE, 0, criteria("less-than-equals", 15), "reports again"),
]


@pytest.mark.parametrize(("metric", "value", "rule", "expected"), BEGUN)
def test_an_alarm_names_what_is_not_normal(metric: str, value: Any, rule: dict[str, Any], expected: str) -> None:
    threshold = 1_500_000 if "statisticalThreshold" in rule else None
    assert expected == explain("in-alarm", metric, value, rule, threshold)


@pytest.mark.parametrize(("metric", "value", "rule", "expected"), CLEARED)
def test_the_end_of_an_alarm_says_what_is_normal_again(
    metric: str, value: Any, rule: dict[str, Any], expected: str
) -> None:
    assert expected == explain("alarm-cleared", metric, value, rule)


def test_every_operator_of_a_profile_is_in_the_table_above() -> None:
    assert {each for operators in OPERATORS.values() for each in operators} == {
        rule["comparisonOperator"] for _, _, rule, _ in BEGUN
    }


def test_a_percentile_that_is_not_known_any_more_is_named() -> None:
    rule = criteria("greater-than", statisticalThreshold={"statistic": "p50"})
    assert "cpu is 1, normal is above the p50 of all things" == explain("in-alarm", "cpu", 1, rule)


def test_an_alarm_that_nothing_follows_says_so() -> None:
    assert NOTHING_FOLLOWS == explain("alarm-invalidated", TCP, None, criteria("in-port-set", [22]))


def test_what_was_stored_without_a_value_or_criteria_is_still_a_sentence() -> None:
    assert "cpu_usage is not normal" == explain("in-alarm", "cpu_usage", None, {})
    assert "names has x, which is not normal" == explain("in-alarm", "names", ("x",), {})
    assert "names is not normal" == explain("in-alarm", "names", ("x",), criteria("less-than", 5))
    assert "names is not normal" == explain("in-alarm", "names", 5, criteria("in-set", ["x"]))


def test_a_line_names_the_thing_and_the_behavior_and_nothing_in_it_can_steer_a_terminal() -> None:
    begun = event(thing=f"rpi{HOSTILE}", value=(f"{HOSTILE}",), kind="strings", criteria=criteria("in-set", ["a"]))
    line = line_of(begun)
    assert line.isprintable()
    assert line.startswith("rpi\\x1b[31m\\u202eevil\\n: in-alarm: cpu_usage has ")
    assert line.endswith("which is not normal (cpu of cpu-usage)")
    assert "rpi-1: in-alarm: cpu of cpu-usage: cpu_usage is 99.5, normal is at most 75" == trial_of(event())


@pytest.mark.parametrize(
    ("names", "count", "expected"),
    [
        ([], None, ""),
        (["a"], None, "a"),
        (["a", "b"], None, "a and b"),
        (["a", "b", "c", "d"], None, "a, b, c and d"),
        (list("abcde"), None, "a, b, c and 2 more"),
        (["a", "b"], 1274, "a, b and 1,272 more"),
    ],
)
def test_names_in_a_row_are_counted_where_there_are_many(names: list[str], count: int | None, expected: str) -> None:
    assert expected == enumerated(names, count)


def test_a_long_list_makes_a_short_line() -> None:
    value = tuple("x" * 1000 + str(number) for number in range(1000))
    assert len(explain("in-alarm", "names", value, criteria("in-set", ["a"]))) < 300


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1 kB"), (999_999, "1 MB"), (812_000_000, "812 MB"),
     (10**15, "1,000 TB"), (1500, "1.5 kB")],
)  # fmt: skip
def test_bytes_are_shown_as_people_write_them(value: float, expected: str) -> None:
    assert expected == shown_size(value)


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(0, "0 minutes"), (1, "1 minute"), (60, "1 hour"), (61, "1 hour 1 minute"), (1500, "1 day 1 hour")],
)
def test_a_time_is_shown_in_its_largest_units(minutes: float, expected: str) -> None:
    assert expected == shown_span(minutes)

"""Which topics are a thing's own, and what they say of a report."""

from __future__ import annotations

import pytest

from defender_detect.judge.topics import ReportTopic, may_use, parse_topic

TOPICS = [
    ("$aws/things/a/defender/metrics/json", ReportTopic("a", "json")),
    ("$aws/things/A-z:_0/defender/metrics/cbor", ReportTopic("A-z:_0", "cbor")),
    (f"$aws/things/{'a' * 128}/defender/metrics/json", ReportTopic("a" * 128, "json")),
    (f"$aws/things/{'a' * 129}/defender/metrics/json", None),
    ("$aws/things//defender/metrics/json", None),
    ("$aws/things/a@b.example/defender/metrics/json", ReportTopic("a@b.example", "json")),
    ("$aws/things/edge.gw.1/defender/metrics/cbor", ReportTopic("edge.gw.1", "cbor")),
    ("$aws/things/a b/defender/metrics/json", ReportTopic("a b", "json")),
    ("$aws/things/Gerät 5/defender/metrics/json", ReportTopic("Gerät 5", "json")),
    (f"$aws/things/{'ä' * 64}/defender/metrics/json", ReportTopic("ä" * 64, "json")),
    (f"$aws/things/{'ä' * 64}a/defender/metrics/json", None),
    ("$aws/things/a\x1b[31m/defender/metrics/json", None),
    ("$aws/things/a\x7f/defender/metrics/json", None),
    ("$aws/things/a\x9b/defender/metrics/json", None),
    ("$aws/things/\udc80/defender/metrics/json", None),
    ("$aws/things/$populations/defender/metrics/json", None),
    ("$aws/things/+/defender/metrics/json", None),
    ("$aws/things/#/defender/metrics/json", None),
    ("$aws/things/a/defender/metrics/JSON", None),
    ("$aws/things/a/defender/metrics/json/accepted", None),
    ("$aws/things/a/defender/metrics/json\n", None),
    ("things/a/defender/metrics/json", None),
]


@pytest.mark.parametrize(("text", "expected"), TOPICS)
def test_only_reserved_report_topics_are_taken_apart(text, expected):
    assert expected == parse_topic(text)
    assert expected is None or str(expected) == text


@pytest.mark.parametrize(
    ("thing", "used", "allowed"),
    [
        ("a", "$aws/things/a/defender/metrics/json", True),
        ("a", "$aws/things/a/#", True),
        ("a", "$aws/things/b/defender/metrics/json", False),
        ("a", "$aws/things/ab/defender/metrics/json", False),
        ("a", "$aws/things/+/defender/metrics/json", False),
        ("+", "$aws/things/+/defender/metrics/json", False),
        ("", "$aws/things//defender/metrics/json", False),
        ("a", "$aws/#", False),
        ("a", "$SYS/broker", False),
        ("a@b.example", "$aws/things/a@b.example/defender/metrics/json", True),
        ("edge.gw.1", "$aws/things/edge_gw_1/defender/metrics/json", False),
        ("#", "$aws/things/#", False),
        ("a/b", "$aws/things/a/b/defender/metrics/json", False),
        ("a", "my/own/topic", True),
    ],
)
def test_a_thing_may_use_its_own_reserved_topics_only(thing, used, allowed):
    assert allowed == may_use(thing, used)

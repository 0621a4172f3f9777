"""A suggested profile says what was normal, is one that AWS takes, and is told with what it would have found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from defender_detect.ask.observed import Observed
from defender_detect.ask.suggestion import Suggestion, explain, find_alarms
from device_defender.profile_rules import find_profile_problems

NOW = 1_800_000_000.0
ROUTER, MAIL = "192.168.1.1", "198.51.100.7"


def day(thing: str = "rpi-1", **values: Any) -> list[Observed]:
    """Return a day of reports; a value that can be called is given the report's number, `_` in a name is `-`."""
    return [
        Observed(NOW + 300 * number, thing, {
            name.replace("aws_", "aws:").replace("_", "-") if name.startswith("aws_") else name:
            value(number) if callable(value) else value for name, value in values.items()})
        for number in range(289)
    ]  # fmt: skip


def suggest(observed: Iterable[Observed]) -> tuple[dict[str, Any], Suggestion]:
    suggestion = Suggestion()
    for each in observed:
        suggestion.learn(each)
    document = suggestion.document("home")
    assert [] == find_profile_problems(document)
    return document, suggestion


def criteria_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return the criteria of all behaviors but that of silence, which every profile has."""
    return {each["name"]: each["criteria"] for each in document["behaviors"] if each["name"] != "reports-regularly"}


def test_each_metric_has_the_behavior_that_says_most() -> None:
    observed = day(
        aws_listening_tcp_ports=lambda number: (22, 631) if number % 7 else (22,),
        aws_num_listening_tcp_ports=2,
        aws_listening_udp_ports=(68, 5353),
        aws_destination_ip_addresses=(ROUTER, MAIL),
        aws_num_established_tcp_connections=lambda number: number % 5,
        aws_all_bytes_out=1_000,
        cpu_usage=lambda number: 10 + number % 3,
        names=("cron", "sshd"),
    )
    document, suggestion = suggest(observed)
    assert {
        "listening-tcp-ports": {"comparisonOperator": "in-port-set", "value": {"ports": [22, 631]}},
        "listening-udp-ports": {"comparisonOperator": "in-port-set", "value": {"ports": [68, 5353]}},
        "destination-ip-addresses": {
            "comparisonOperator": "in-cidr-set",
            "value": {"cidrs": ["192.168.1.0/24", "198.51.100.7/32"]},
        },
        "num-established-tcp-connections": {"comparisonOperator": "less-than-equals", "value": {"count": 6}},
        "all-bytes-out": {
            "comparisonOperator": "less-than-equals",
            "value": {"count": 18_000},
            "durationSeconds": 3600,
        },
        "cpu_usage": {
            "comparisonOperator": "less-than-equals",
            "value": {"number": 18},
            "consecutiveDatapointsToAlarm": 3,
        },
        "names": {"comparisonOperator": "in-set", "value": {"strings": ["cron", "sshd"]}},
    } == criteria_of(document)
    assert [] == find_alarms(document, observed) == suggestion.notes


def test_udp_ports_that_the_system_chooses_are_no_list() -> None:
    document, suggestion = suggest(
        day(aws_listening_udp_ports=lambda number: (5353, 40_000 + number), aws_num_listening_udp_ports=2)
    )
    assert {
        "num-listening-udp-ports": {"comparisonOperator": "less-than-equals", "value": {"count": 3}}
    } == criteria_of(document)
    assert ["aws:listening-udp-ports"] == [note.partition(": ")[0] for note in suggestion.notes]


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ({"names": lambda number: (f"job-{number}",)}, "names: more than 100 different ones"),
        ({"cpu_usage": 99.0}, "cpu_usage: it reached 99 percent"),
        (
            {"aws_destination_ip_addresses": lambda n: tuple(f"{1 + (n + k) % 223}.9.9.9" for k in range(0, 223, 1))},
            "aws:destination-ip-addresses: the addresses are too many",
        ),
    ],
)
def test_what_no_list_or_limit_can_say_is_a_note(values: dict[str, Any], note: str) -> None:
    document, suggestion = suggest(day(**values))
    assert {} == criteria_of(document)
    (said,) = suggestion.notes
    assert said.startswith(note)


def test_what_never_listened_is_said_by_a_number() -> None:
    document, _ = suggest(day(aws_listening_tcp_ports=(), aws_num_listening_tcp_ports=0))
    expected = {"comparisonOperator": "less-than-equals", "value": {"count": 0}}
    assert {"num-listening-tcp-ports": expected} == criteria_of(document)


def test_what_it_would_have_found_is_said_by_behavior() -> None:
    burst = [Observed(NOW + 86_700, "rpi-2", {"aws:all-bytes-out": 10**9})]
    observed = [*day(aws_all_bytes_out=1_000), *day("rpi-2", aws_all_bytes_out=1_000), *burst]
    for thing in range(3, 9):
        observed += day(f"rpi-{thing}", aws_all_bytes_out=1_000)
    document, suggestion = suggest(observed)
    lines = list(explain(suggestion, document, find_alarms(document, observed)))
    assert lines[0].startswith("What was normal in 2313 reports of 8 things from ")
    assert "  all-bytes-out would have raised 1 alarm at rpi-2" == lines[-1]


@pytest.mark.parametrize(
    ("intervals", "limit", "silences"),
    [([300] * 2000, 15, 0), ([1800] * 2000, 45, 0), ([300] * 2000 + [36_000], 15, 1), ([300, 36_000, 300], 900, 0)],
)
def test_a_silence_longer_than_was_usual_is_not_normal(intervals: list[int], limit: int, silences: int) -> None:
    time, observed = NOW, [Observed(NOW, "rpi-1", {})]
    for interval in intervals:
        time += interval
        observed.append(Observed(time, "rpi-1", {}))
    document, suggestion = suggest(observed)
    (behavior,) = document["behaviors"]
    assert ("aws:disconnect-duration", {"count": limit}) == (behavior["metric"], behavior["criteria"]["value"])
    lines = list(explain(suggestion, document, find_alarms(document, observed)))
    assert silences == suggestion.silences(document)
    assert (silences == 1) is ("  reports-regularly would have raised 1 alarm" in lines)


def test_little_that_was_seen_is_said() -> None:
    observed = day(cpu_usage=5)[:10]
    document, suggestion = suggest(observed)
    lines = list(explain(suggestion, document, find_alarms(document, observed)))
    assert "That is less than a day: what happens once a day, a backup for instance, may not be in it yet." == lines[1]
    assert "In these reports it would have raised no alarm." == lines[-1]

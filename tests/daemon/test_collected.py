"""The sections of what is collected: every departure is named, and what is right has no problem."""

from __future__ import annotations

import msgspec
import pytest

from defender_daemon.collected import Journal, LogFile
from defender_daemon.config import Config
from device_defender.validation import find_problems


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"metrics": {"network_stats": 1}}, "metrics.network_stats must be true, false or an object, got 1"),
        (
            {"metrics": {"network_stats": {"interfaces": "eth0"}}},
            'metrics.network_stats.interfaces must be an array of strings, got "eth0"',
        ),
        ({"custom_metrics": {"x": 5}}, "custom_metrics.x must be an object, got 5"),
        (
            {"custom_metrics": {"a b": {}}},
            'custom_metrics: a name must be 1 to 128 of the characters a-z A-Z 0-9 : _ -, got "a b"',
        ),
        (
            {"custom_metrics": {"x": {"command": []}}},
            "custom_metrics.x.command must be a non-empty array of strings, got an array of 0",
        ),
        (
            {"custom_metrics": {"x": {"timeout": 61}}},
            "custom_metrics.x.timeout must be a number above 0 and at most 60, got 61",
        ),
        (
            {"logs": {"logs_collected": {"journal": 1}}},
            "logs.logs_collected.journal must be true, false or an object, got 1",
        ),
        (
            {"logs": {"logs_collected": {"files": {"collect_list": [{}]}}}},
            "logs.logs_collected.files.collect_list[0].file_path is missing; it must be a non-empty string",
        ),
    ],
)
def test_a_problem_is_named_in_one_sentence(raw: object, expected: str) -> None:
    assert [expected] == find_problems(raw, Config, name="the configuration")


@pytest.mark.parametrize(
    "raw",
    [
        {"metrics": {"listening_tcp_ports": False, "tcp_connections": {"interface": False}}},
        {"custom_metrics": {"a:b_c-1": {"type": "number", "command": ["true"], "timeout": 1}}},
        {"logs": {"logs_collected": {"journal": {"units": ["sshd.service"]}}, "retention_in_days": 30}},
    ],
)
def test_a_right_configuration_has_no_problem(raw: object) -> None:
    assert [] == find_problems(raw, Config, name="the configuration")


def test_a_list_that_is_not_given_is_nobody_elses() -> None:
    """A default that all structs shared would be everybody's as soon as one of them changed it."""
    assert Journal().units is not Journal().units


def test_where_a_file_is_begun_is_called_from_in_the_configuration() -> None:
    assert "start" == msgspec.convert({"file_path": "/var/log/x", "from": "start"}, LogFile).begin

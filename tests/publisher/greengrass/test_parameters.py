"""A deployment's configuration becomes the publisher's; whatever is wrong with it is one sentence each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from defender_daemon.config import Config
from defender_publisher.errors import ConfigError
from defender_publisher.greengrass.parameters import notes_on, read_parameters

# The parameters of the connector of Greengrass V1, as its documentation's example gives them.
CONNECTOR = {
    "SampleIntervalSeconds": "600",
    "ProcDestinationPath": "/proc",
    "ProcDestinationPath-ResourceId": "my-proc",
}
WHOLE = "SampleIntervalSeconds must be a whole number of seconds from 300 to 86400, got "


def parameters(given: Any) -> Config:
    return msgspec.convert(read_parameters(given, short_names=True), Config)


def test_without_parameters_it_reports_every_five_minutes_with_short_names() -> None:
    agent = parameters({}).agent
    assert (300, "/proc", True) == (agent.publish_interval, agent.procfs_path, agent.short_names)


def test_the_connectors_parameters_can_be_pasted_whole() -> None:
    assert 600 == parameters(CONNECTOR).agent.publish_interval
    (note,) = notes_on(CONNECTOR)
    assert note.startswith("ProcDestinationPath-ResourceId has no effect here: ")


def test_the_parameters_of_awss_component_can_be_pasted_whole() -> None:
    given = {"PublishRetryCount": 5, "SampleIntervalSeconds": 300, "UseInstaller": True}
    assert 300 == parameters(given).agent.publish_interval
    assert 2 == len(list(notes_on(given)))


def test_the_publishers_sections_win_over_the_connectors_words() -> None:
    given = {
        "SampleIntervalSeconds": 900,
        "agent": {"publish_interval": 600, "format": "cbor", "short_names": False},
        "metrics": {"tcp_connections": False},
        "custom_metrics": {"cpu_usage": {}},
        "accessControl": {"aws.greengrass.ipc.mqttproxy": {}},
    }
    config = parameters(given)
    assert (600, "cbor", False) == (config.agent.publish_interval, config.agent.format, config.agent.short_names)
    assert ["cpu_usage"] == list(config.custom_metrics)


def test_numbers_and_truth_values_that_nucleus_lite_made_strings_are_taken_for_what_they_were() -> None:
    given = {
        "agent": {"publish_interval": "4", "allow_short_interval": "true", "thing": "7"},
        "custom_metrics": {"n": {"type": "number", "command": ["7"], "timeout": "2.5"}},
        "metrics": {"max_list_size": "50", "tcp_connections": "false"},
    }
    raw = read_parameters(given, short_names=False)
    assert {"publish_interval": 4, "allow_short_interval": True, "thing": "7"}.items() <= raw["agent"].items()
    assert {"type": "number", "command": ["7"], "timeout": 2.5} == raw["custom_metrics"]["n"]
    assert {"max_list_size": 50, "tcp_connections": False} == raw["metrics"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("abc", f'{WHOLE}"abc"'),
        ("", f'{WHOLE}""'),
        (299, f"{WHOLE}299"),
        ("600s", f'{WHOLE}"600s"'),
        (600.5, "SampleIntervalSeconds must be .*, got 600.5"),
        (1e9, "SampleIntervalSeconds must be .*, got 1000000000.0|" + WHOLE),
        (True, "SampleIntervalSeconds must be .*, got true"),
        (None, "SampleIntervalSeconds must be .*, got null"),
        ([600], "SampleIntervalSeconds must be .*, got an array of 1"),
        (10**20, WHOLE),
    ],
)
def test_an_interval_that_is_none_is_one_sentence(value: Any, expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_parameters({"SampleIntervalSeconds": value}, short_names=True)
    assert 1 == len(error.value.problems)
    assert re.match(expected.replace("[", r"\["), error.value.problems[0])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"ProcDestinationPath": "proc"}, 'ProcDestinationPath must be an absolute path such as /proc, got "proc"'),
        ({"ProcDestinationPath": "/nowhere"}, "ProcDestinationPath must be where the host's /proc is, but"),
        ({"SampleInterval": 600}, 'SampleInterval is not a known key; did you mean "SampleIntervalSeconds"?'),
        ({"agent": {"authentication": {}}}, "agent.authentication cannot be set in a component: the nucleus's"),
        ({"agent": {"thing_name": "x"}}, "agent.thing_name cannot be set in a component: the core reports"),
        ({"agent": []}, "agent must be an object, got an array of 0"),
        ([], "the component's configuration must be an object"),
        ("text", "the component's configuration must be an object"),
    ],
)
def test_what_is_wrong_otherwise_is_one_sentence(given: Any, expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_parameters(given, short_names=True)
    assert [True] == [problem.startswith(expected) for problem in error.value.problems], error.value.problems


def test_a_proc_of_the_hosts_elsewhere_is_taken(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    assert str(tmp_path) == parameters({"ProcDestinationPath": str(tmp_path)}).agent.procfs_path

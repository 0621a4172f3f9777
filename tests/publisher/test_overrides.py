"""Options stand for keys of the configuration, as they did for the first agent."""

from __future__ import annotations

from typing import Any

import pytest

from defender_daemon.config import Config
from defender_publisher.overrides import OVERRIDES, overrides_of
from device_defender.validation import find_problems

NOTHING: dict[str, Any] = {**{each.key: None for each in OVERRIDES}, "dry_run": False, "interval": None}


def overridden(**given: Any) -> Any:
    return overrides_of({**NOTHING, **{key.replace("__", "."): value for key, value in given.items()}})


def test_what_was_not_given_overrides_nothing() -> None:
    assert {} == overridden()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"agent__authentication__endpoint": "e"}, {"agent": {"authentication": {"endpoint": "e"}}}),
        ({"agent__authentication__method": "no"}, {"agent": {"authentication": {"method": "websocket"}}}),
        ({"interval": 300}, {"agent": {"publish_interval": 300}}),
        ({"interval": 5, "dry_run": True}, {"agent": {"dry_run": True}}),
        ({"agent__client_id": "c"}, {"agent": {"client_id": "c", "thing_name": "c"}}),
        ({"agent__client_id": "c", "agent__thing_name": "t"}, {"agent": {"client_id": "c", "thing_name": "t"}}),
        ({"custom_metrics__cpu_usage": {}}, {"custom_metrics": {"cpu_usage": {}}}),
        ({"agent__proxy__host": "p", "agent__proxy__port": 1}, {"agent": {"proxy": {"host": "p", "port": 1}}}),
    ],
)
def test_an_option_is_a_key(given: dict[str, Any], expected: Any) -> None:
    assert expected == overridden(**given)


def test_every_option_stands_for_a_key_that_there_is() -> None:
    """None of the values is right, and so each key is named as one that has a value, and not as one that is unknown."""
    for each in OVERRIDES:
        problems = find_problems(overridden(**{each.key: [object]}), Config, name="the configuration")
        if each.key == "agent.authentication.method":
            assert [] == problems  # whatever was given means websocket
        else:
            assert any(problem.startswith(f"{each.key} must be ") for problem in problems), problems

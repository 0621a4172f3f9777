"""Every departure from the definition is named: where, what would be right, what was found."""

from __future__ import annotations

import pytest

from defender_daemon.config import Config
from device_defender.validation import find_problems


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (5, "the configuration must be an object, got 5"),
        ({"agnet": {}}, 'agnet is not a known key; did you mean "agent"?'),
        ({"zzz": {}}, "zzz is not a known key; there are $schema, agent, metrics, custom_metrics, logs"),
        ({"agent": []}, "agent must be an object, got an array of 0"),
        (
            {"agent": {"publish_interval": "300"}},
            'agent.publish_interval must be a whole number from 1 to 31622400, got "300"',
        ),
        (
            {"agent": {"publish_interval": 1.5}},
            "agent.publish_interval must be a whole number from 1 to 31622400, got 1.5",
        ),
        (
            {"agent": {"publish_interval": True}},
            "agent.publish_interval must be a whole number from 1 to 31622400, got true",
        ),
        ({"agent": {"debug": "yes"}}, 'agent.debug must be true or false, got "yes"'),
        ({"agent": {"format": "xml"}}, 'agent.format must be one of cbor, json, got "xml"'),
        ({"agent": {"format": "JSON"}}, 'agent.format must be one of cbor, json, got "JSON"; did you mean "json"?'),
        (
            {"agent": {"provisioning": {"template": "my fleet"}}},
            'agent.provisioning.template must be 1 to 36 of the characters a-z A-Z 0-9 _ -, got "my fleet"',
        ),
        (
            {"agent": {"thing_name": "my pi"}},
            'agent.thing_name must be 1 to 128 of the characters a-z A-Z 0-9 : _ -, got "my pi"',
        ),
        (
            {"agent": {"authentication": {"port": 0}}},
            "agent.authentication.port must be a whole number from 1 to 65535, got 0",
        ),
        (
            {"agent": {"authentication": {"private-key": "x"}}},
            'agent.authentication.private-key is not a known key; did you mean "private_key"?',
        ),
        (
            {"agent": {"thing_name": "my-pi\n"}},
            'agent.thing_name must be 1 to 128 of the characters a-z A-Z 0-9 : _ -, got "my-pi\\n"',
        ),
        (
            {"agent": {"proxy": {"host": "h", "username": "u", "password": 12345678}}},
            "agent.proxy.password must be a string, got something else, which is not shown here",
        ),
        ({"agent": {"proxy": {}}}, "agent.proxy.host is missing; it must be a non-empty string"),
    ],
)
def test_a_problem_is_named_in_one_sentence(raw: object, expected: str) -> None:
    assert [expected] == find_problems(raw, Config, name="the configuration")


def test_all_problems_are_found_at_once() -> None:
    raw = {"agent": {"debug": 1, "format": 2, "authentication": {"port": "x"}}, "metrics": {"x": 1}, "other": 1}
    paths = [problem.split(" ")[0] for problem in find_problems(raw, Config, name="the configuration")]
    assert ["agent.debug", "agent.format", "agent.authentication.port", "metrics.x", "other"] == paths


def test_a_wrong_value_is_shown_only_in_part_when_it_is_long() -> None:
    (problem,) = find_problems({"agent": {"debug": "x" * 500}}, Config)
    assert problem.endswith("x...")
    assert len(problem) < 120


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"$schema": "schema.json", "agent": {}, "metrics": {}, "custom_metrics": {}},
        {"agent": {"thing_name": None, "authentication": {"port": 443}}},
    ],
)
def test_a_right_configuration_has_no_problem(raw: object) -> None:
    assert [] == find_problems(raw, Config, name="the configuration")

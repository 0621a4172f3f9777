"""The file of Detect's configuration: paths start at the file, options win over it, and what cannot be read is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("msgspec")

from defender_detect.config import Config, Source
from defender_detect.config_file import read_config, read_groups
from defender_detect.errors import ConfigError

Write = Callable[[Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration, and return its path."""

    def write(document: Any) -> Path:
        path = tmp_path / "detect.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write


def problems_of(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read_config(path, {})
    assert all(problem.startswith(f"{path}: ") for problem in raised.value.problems)
    return [problem[len(f"{path}: ") :] for problem in raised.value.problems]


def agent(**values: Any) -> dict[str, Any]:
    return {"agent": values}


def detect(**values: Any) -> dict[str, Any]:
    return {"detect": values}


EMAIL = {"type": "email", "host": "mail.example.com", "sender": "d@example.com", "recipients": ["me@example.com"]}


def test_all_that_is_wrong_is_said_at_once_with_the_file(write: Write) -> None:
    assert len(problems_of(write({"agent": {"debug": 0}, "detect": {"x": 1}, "y": 2}))) == 3


def test_a_number_of_a_thousand_digits_is_a_problem_and_no_crash(write: Write) -> None:
    (problem,) = problems_of(write(f'{{"agent": {{"minimum_interval": {"9" * 1000}}}}}'))
    assert problem.startswith("agent.minimum_interval must be a number from 0 to 31536000, got 999")


def test_the_authority_is_beside_the_file_although_nobody_says_where_it_is(write: Write, tmp_path: Path) -> None:
    renewal = read_config(write(agent(renewal={})), {}).agent.renewal
    assert renewal is not None
    assert renewal.authority == str(tmp_path / "authority")


def test_secrets_and_authorities_start_at_the_files_directory(write: Write, tmp_path: Path) -> None:
    email = {**EMAIL, "username": "u", "password": {"file": "mail.secret"}, "root_ca": "ca.pem"}
    webhook = {"type": "webhook", "url": {"credential": "url"}, "headers": {"A": {"file": "/run/a"}, "B": "c"}}
    mail, hook = read_config(write(detect(alerts=[email, webhook])), {}).detect.alerts
    assert (f"{tmp_path}/mail.secret", f"{tmp_path}/ca.pem") == (mail.password.file, mail.root_ca)
    assert ("url", "/run/a", "c") == (hook.url.credential, hook.headers["A"].file, hook.headers["B"])


@pytest.mark.parametrize("text", ["", "[1", "[" * 100_000, '{"a": '])
def test_what_is_no_json_is_said(text: str, write: Write) -> None:
    (problem,) = problems_of(write(text))
    assert problem.startswith("must be JSON in UTF-8: ")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "nothing.json") == ["cannot be read: No such file or directory"]
    assert problems_of(tmp_path) == ["cannot be read: Is a directory"]


def test_relative_paths_start_at_the_file(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        {
            "agent": {
                "state_directory": "state",
                "authentication": {"root_ca": "ca.pem", "private_key": "/keys/my.key"},
            },
            "detect": {"profiles": ["profiles", {"path": "x.json", "targets": ["a"]}], "thing_groups": "groups.json"},
        }
    )
    monkeypatch.chdir(path.parent)
    for given in (path, Path(path.name)):
        config = read_config(given, {})
        assert config.agent.state_directory == str(tmp_path / "state")
        authentication = config.agent.authentication
        assert (authentication.root_ca, authentication.private_key) == (str(tmp_path / "ca.pem"), "/keys/my.key")
        assert config.detect.sources == [
            Source(path=str(tmp_path / "profiles")),
            Source(path=str(tmp_path / "x.json"), targets=["a"]),
        ]
        assert config.detect.thing_groups == str(tmp_path / "groups.json")


def test_a_tilde_is_the_home_directory(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert read_config(write(agent(state_directory="~/state")), {}).agent.state_directory == "/home/me/state"


def test_options_win_over_the_file(write: Write) -> None:
    path = write(
        {
            "agent": {"minimum_interval": 5, "authentication": {"endpoint": "a", "port": 1}, "debug": True},
            "detect": {"profiles": ["x"]},
        }
    )
    config = read_config(path, {"endpoint": "b", "port": None, "profiles": ["y"]})
    agent = config.agent
    assert (agent.authentication.endpoint, agent.authentication.port) == ("b", 1)
    assert (agent.minimum_interval, agent.debug) == (5, True)
    assert config.detect.sources == [Source(path="y")]


def test_an_option_of_detects_own_connection_is_none_of_the_consoles() -> None:
    config = read_config(None, {"port": 1, "certificate": "/a.pem", "private_key": "/a.key"})
    assert config.agent.authentication.private_key == "/a.key"
    assert config.detect.console == Config().detect.console


def test_without_a_file_and_options_there_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert read_config(None, {}) == Config()
    assert (Config().agent.minimum_interval, Config().agent.authentication.port) == (300, 8883)
    assert (Config().detect.metrics_days, Config().detect.violations_days) == (14, 30)


def test_the_state_directory_is_that_of_systemd_unless_another_is_named(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/detect:/var/lib/other")
    assert read_config(None, {}).agent.state_directory == "/var/lib/detect"
    assert read_config(write(agent(state_directory="s")), {}).agent.state_directory == str(tmp_path / "s")
    assert read_config(None, {"state_directory": "o"}).agent.state_directory == "o"


def test_a_topic_of_null_is_none(write: Write) -> None:
    assert read_config(write(agent(topic=None)), {}).agent.topic is None


def test_a_schema_and_a_byte_order_mark_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "detect.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"$schema": "x.json", "agent": {"debug": true}}')
    assert read_config(path, {}).agent.debug


@pytest.mark.parametrize(
    ("groups", "problem"),
    [
        ([], "the document must be an object, got an array of 0"),
        ({"a": "b"}, 'a must be an array of strings, got "b"'),
        ({"a": ["b", 1]}, "a[1] must be a string of 1 to 128 characters, got 1"),
    ],
)
def test_what_is_wrong_with_thing_groups_is_said(groups: Any, problem: str, write: Write) -> None:
    path = write(groups)
    with pytest.raises(ConfigError) as raised:
        read_groups(path)
    assert raised.value.problems == [f"{path}: {problem}"]


def test_thing_groups_are_read(write: Write) -> None:
    assert read_groups(write({"a": ["x", "y"], "b": []})) == {"a": ["x", "y"], "b": []}


def test_a_target_may_be_the_arn_of_a_group_with_a_long_name(write: Write) -> None:
    arn = f"arn:aws:iot:eu-west-1:123456789012:thinggroup/{'g' * 128}"
    document = {"profiles": [{"path": "x", "targets": [arn]}]}
    assert [arn] == read_config(write(detect(**document)), {}).detect.sources[0].targets
    assert [arn] == list(read_groups(write({arn: ["x"]})))

"""A configuration is read whole or refused whole, and says where each value came from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from defender_daemon.config import Raw
from defender_publisher.errors import ConfigError
from defender_publisher.settings import read_settings

NAMED = {"thing_name": "rpi-1"}


def write(directory: Path, content: object) -> Path:
    path = directory / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def problems_of(path: Path | None, overrides: Raw | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_settings(path, overrides or {})
    return list(caught.value.problems)


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, {"agent": {**NAMED, "format": "cbor", "short_names": True, "dry_run": True}})
    settings = read_settings(path, {"agent": {"format": "json"}})
    assert ("json", True, 300) == (settings.agent.format, settings.agent.short_names, settings.agent.publish_interval)
    lines = list(settings.lines())
    assert 'agent.format = "json" (command line)' in lines
    assert "agent.short_names = true (file)" in lines
    assert "agent.publish_interval = 300 (default)" in lines


def test_an_override_does_not_hide_that_a_section_of_the_file_is_wrong(tmp_path: Path) -> None:
    path = write(tmp_path, {"agent": 5})
    assert [f"{path}: agent must be an object, got 5"] == problems_of(path, {"agent": {"format": "json"}})


def test_paths_are_relative_to_the_file_and_on_the_command_line_to_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    path = write(tmp_path, {"agent": {**NAMED, "logfile": "a.log", "procfs_path": "/p", "authentication": {}}})
    settings = read_settings(path, {"agent": {"dry_run": True, "state_directory": "s"}})
    assert str(tmp_path / "a.log") == settings.agent.logfile
    assert str(tmp_path / "elsewhere" / "s") == settings.agent.state_directory
    assert "/p" == settings.agent.procfs_path


def test_defaults_that_depend_on_others_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")
    settings = read_settings(None, {"agent": {"dry_run": True, "thing_name": "t", "format": "cbor"}})
    agent = settings.agent
    assert ("t", "$aws/things/t/defender/metrics/cbor") == (agent.client_id, settings.topic)
    assert (300, 8883, "/var/lib/a") == (
        agent.metrics_collection_interval,
        agent.authentication.port,
        agent.state_directory,
    )
    assert str(agent.authentication.root_ca).endswith("roots/amazon-root-ca.pem")


def test_a_topic_of_ones_own_holds_the_thing_name() -> None:
    settings = read_settings(None, {"agent": {"dry_run": True, "thing_name": "t", "topic": "x/{thing_name}/y"}})
    assert "x/t/y" == settings.topic


def test_a_topic_with_shards_has_that_of_the_thing() -> None:
    topic = "reports/{shard:16}/{thing_name}"
    settings = read_settings(None, {"agent": {"dry_run": True, "thing_name": "rpi-0001", "topic": topic}})
    assert "reports/0/rpi-0001" == settings.topic


def test_a_password_is_never_shown() -> None:
    proxy = {"host": "p", "username": "u", "password": "geheim"}
    settings = read_settings(None, {"agent": {"dry_run": True, **NAMED, "proxy": proxy}})
    assert "geheim" not in "\n".join(settings.lines())
    assert "agent.proxy.password = (hidden) (command line)" in list(settings.lines())

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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1, column 1: not JSON: Expecting value"),
        ('{"agent": {\n  "debug": tru\n}}', "line 2, column 12: not JSON: Expecting value"),
        ('{"agent": {},}', ": not JSON: "),
        ('{"agent": {"debug": NaN}}', "NaN is not JSON"),
        ('{"agent": {}, "agent": {}}', '"agent" is given twice in one object; keep one'),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "the configuration must be an object, got an array of 0"),
    ],
)
def test_text_that_is_no_configuration_is_refused_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    (problem,) = problems_of(path)
    assert problem.startswith(f"{path}: ")
    assert expected in problem


def test_a_configuration_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b'{"agent": {"thing_name": "\xff"}}')
    assert "must be UTF-8 text" in problems_of(path)[0]


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"agent": NAMED}).encode())
    assert "rpi-1" == read_settings(path, {"agent": {"dry_run": True}}).thing_name


def test_a_missing_and_a_directory_for_a_file_are_refused(tmp_path: Path) -> None:
    assert "there is no such configuration file" in problems_of(tmp_path / "none.json")[0]
    assert "cannot be read: Is a directory" in problems_of(tmp_path)[0]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"agent": {"publish_interval": 299}}, "agent.publish_interval must be at least 300, got 299: AWS throttles"),
        (
            {"agent": {"metrics_collection_interval": 301}},
            "agent.metrics_collection_interval must be at most agent.publish_interval (300), got 301",
        ),
        ({}, "agent.authentication.endpoint is missing"),
        ({"agent": {"authentication": {"endpoint": "e"}}}, "agent.authentication.certificate is missing"),
        (
            {"agent": {"authentication": {"endpoint": "https://e"}}},
            "must be a host name alone, without https:// and port, got 'https://e'",
        ),
        (
            {"agent": {"authentication": {"endpoint": "a-ats.iot.eu-west-1.amazonaws.com", "port": 1883}}},
            "agent.authentication.port must be 8883 or 443 for AWS IoT, got 1883",
        ),
        (
            {"agent": {"authentication": {"method": "websocket", "endpoint": "broker.local"}}},
            "must be AWS's own name",
        ),
        (
            {
                "agent": {
                    "authentication": {
                        "method": "websocket",
                        "endpoint": "a-ats.iot.eu-west-1.amazonaws.com",
                        "region": "us-east-1",
                    }
                }
            },
            "agent.authentication.region must be the endpoint's region eu-west-1, got 'us-east-1'",
        ),
        ({"agent": {"topic": "reports"}}, "agent.topic must have {thing_name} in it"),
        ({"agent": {"topic": "reports/{thing_name}/#"}}, "agent.topic must not have + # { } in it"),
        ({"agent": {"topic": "$aws/{thing_name}"}}, "nor begin with $ or /"),
        ({"agent": {"topic": "a/b/c/d/e/f/g/{thing_name}"}}, "must leave room for /accepted"),
        (
            {"agent": {"proxy": {"host": "p", "username": "u"}}},
            "agent.proxy.username and agent.proxy.password must be given together",
        ),
        (
            {
                "metrics": dict.fromkeys(
                    ["listening_tcp_ports", "listening_udp_ports", "tcp_connections", "network_stats"], False
                )
            },
            "there is nothing to report",
        ),
        ({"custom_metrics": {"aws:x": {"source": "uptime"}}}, "must not begin with aws:"),
        (
            {"custom_metrics": {"cpu": {}}},
            '"cpu" is not the name of a built-in, nor of a metric of an installed',
        ),
        ({"custom_metrics": {"cpu_usag": {}}}, 'did you mean "cpu_usage"?'),
        (
            {"custom_metrics": {"x": {"source": "uptime", "type": "string-list"}}},
            "custom_metrics.x.type must be number for the source uptime, got string-list",
        ),
        ({"custom_metrics": {"x": {"command": ["date"]}}}, "custom_metrics.x.type is missing"),
        (
            {"custom_metrics": {"x": {"type": "number", "command": ["date"], "source": "uptime"}}},
            "custom_metrics.x must have a source or a command, not both",
        ),
    ],
)
def test_a_broken_rule_is_named(tmp_path: Path, config: Raw, expected: str) -> None:
    assert any(expected in problem for problem in problems_of(write(tmp_path, config)))


def test_several_broken_rules_are_named_at_once(tmp_path: Path) -> None:
    config = {"agent": {**NAMED, "publish_interval": 5, "topic": "x"}, "custom_metrics": {"y": {}}}
    assert 3 == len(problems_of(write(tmp_path, config), {"agent": {"dry_run": True}}))


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


def test_a_password_is_never_shown() -> None:
    proxy = {"host": "p", "username": "u", "password": "geheim"}
    settings = read_settings(None, {"agent": {"dry_run": True, **NAMED, "proxy": proxy}})
    assert "geheim" not in "\n".join(settings.lines())
    assert "agent.proxy.password = (hidden) (command line)" in list(settings.lines())


SECRET = "sEcr3t"


@pytest.mark.parametrize(
    "proxy",
    [
        {"host": "http://proxy.example.com", "port": 3128},
        {"host": "proxy.example.com:3128"},
        {"host": f"http://me:{SECRET}@proxy.example.com:3128"},
        {"host": f"me:{SECRET}@proxy.example.com"},
        {"host": "[fd00::1]"},
        {"host": "a b"},
        {"host": "proxy..example.com"},
        f"http://me:{SECRET}@proxy.example.com:3128",
        [f"http://me:{SECRET}@proxy.example.com:3128"],
        {"host": "p", "username": "me", "password": [SECRET]},
        {"host": ["http://me:" + SECRET + "@p"]},
    ],
)
def test_a_proxy_in_another_form_is_refused_in_a_sentence_and_its_password_printed_nowhere(proxy: object) -> None:
    (problem,) = problems_of(None, {"agent": {"dry_run": True, "proxy": proxy}})
    assert problem.startswith(("agent.proxy must be an object", "agent.proxy."))
    assert SECRET not in problem
    if isinstance(proxy, dict) and isinstance(proxy["host"], str) and "password" not in proxy:
        assert problem.startswith("agent.proxy.host must be a host name or address alone")


@pytest.mark.parametrize(
    "host", ["proxy.example.com", "proxy", "squid_1", "10.0.0.1", "fd00::1", "fe80::1%eth0", "::1"]
)
def test_a_proxys_name_or_address_is_taken(host: str) -> None:
    settings = read_settings(None, {"agent": {"dry_run": True, "proxy": {"host": host}}})
    assert host == settings.agent.proxy.host


def test_an_endpoint_with_a_password_in_it_prints_none() -> None:
    given = {"endpoint": f"me:{SECRET}@broker.example.com"}
    (problem,) = problems_of(None, {"agent": {**NAMED, "authentication": given}})
    assert problem == "agent.authentication.endpoint must be a host name alone, without https:// and port"

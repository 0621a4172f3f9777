"""Keys that need, exclude or limit one another are named with their rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from defender_daemon.config import Raw
from defender_publisher.settings import read_settings
from tests.publisher.test_settings import problems_of, write

NAMED = {"thing_name": "rpi-1"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"agent": {"publish_interval": 299}}, "agent.publish_interval must be at least 300, got 299: AWS throttles"),
        (
            {"agent": {"metrics_collection_interval": 301}},
            "agent.metrics_collection_interval must be at most agent.publish_interval (300), got 301",
        ),
        ({}, "agent.authentication.endpoint is missing"),
        (
            {"agent": {"provisioning": {"claim_certificate": "claim.pem"}}},
            "agent.provisioning.claim_certificate and agent.provisioning.claim_private_key must be given together",
        ),
        (
            {"agent": {"provisioning": {"parameters": {"ThingName": "x"}}}},
            "agent.provisioning.parameters must not have ThingName, which is made from agent.thing_name",
        ),
        (
            {"agent": {"provisioning": {"rotate_after_days": 365}}},
            "agent.provisioning.rotate_after_days needs agent.provisioning.rotation_template",
        ),
        (
            {"agent": {"provisioning": {}, "authentication": {"method": "websocket"}}},
            "agent.provisioning needs agent.authentication.method certificate, got websocket",
        ),
        ({"agent": {"authentication": {"endpoint": "e"}}}, "agent.authentication.certificate is missing"),
        (
            {"agent": {"authentication": {"endpoint": "https://e"}}},
            "must be a host name alone, without https:// and port, got 'https://e'",
        ),
        ({"agent": {"authentication": {"endpoint": "a..b"}}}, "must be a host name alone"),
        ({"agent": {"authentication": {"endpoint": "x" * 64}}}, "must be a host name alone"),
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
        (
            {"agent": {"topic": "r/{shard}/{thing_name}"}},
            "agent.topic must give the number of shards as in {shard:16}, got 'r/{shard}/{thing_name}'",
        ),
        ({"agent": {"topic": "r/{shard:1}/{thing_name}"}}, "agent.topic must have 2 to 1000 shards, got"),
        ({"agent": {"topic": "r/{shard:16}"}}, "agent.topic must have {thing_name} in it"),
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

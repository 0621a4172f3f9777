"""The rules of a configuration that no type can say: keys that need, exclude or limit one another."""

from __future__ import annotations

import re
from collections.abc import Iterator

from defender_publisher.config import SHORTEST_INTERVAL, Agent, Authentication, Config, CustomMetric
from device_defender.metrics import AWS_PREFIX, BUILT_INS, TYPES
from device_defender.wording import did_you_mean, shown

AWS_ENDPOINT = re.compile(r"\.iot\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?$")
AWS_PORTS = (8883, 443)
TOPIC_BYTES, TOPIC_SLASHES = 256, 7  # AWS IoT's limits of a topic


def broken_rules(config: Config) -> list[str]:
    """Return a sentence for every rule that a configuration of the right types breaks."""
    agent = config.agent
    return [
        *_interval_rules(agent),
        *([] if agent.dry_run else _authentication_rules(agent.authentication)),
        *_topic_rules(agent),
        *_proxy_rules(agent),
        *_metrics_rules(config),
        *(each for name, metric in config.custom_metrics.items() for each in _custom_metric_rules(name, metric)),
    ]


def _interval_rules(agent: Agent) -> Iterator[str]:
    if agent.publish_interval < SHORTEST_INTERVAL and not agent.allow_short_interval:
        yield (
            f"agent.publish_interval must be at least {SHORTEST_INTERVAL}, got {agent.publish_interval}: AWS throttles "
            "a thing that reports more often (for a receiver of your own set agent.allow_short_interval to true)"
        )
    look = agent.metrics_collection_interval
    if look is not None and look > agent.publish_interval:
        yield (
            f"agent.metrics_collection_interval must be at most agent.publish_interval ({agent.publish_interval}), "
            f"got {look}"
        )


def _authentication_rules(authentication: Authentication) -> Iterator[str]:
    needed = ["endpoint"] + (["certificate", "private_key"] if authentication.method == "certificate" else [])
    for key in needed:
        if not getattr(authentication, key):
            yield f"agent.authentication.{key} is missing; it is needed with the method {authentication.method}"
    endpoint = authentication.endpoint or ""
    if re.search(r"[/:\s]", endpoint):
        yield f"agent.authentication.endpoint must be a host name alone, without https:// and port, got {endpoint!r}"
        return
    at_aws = AWS_ENDPOINT.search(endpoint)
    if at_aws and authentication.port not in (None, *AWS_PORTS):
        yield f"agent.authentication.port must be 8883 or 443 for AWS IoT, got {authentication.port}"
    if authentication.method == "websocket" and endpoint:
        yield from _websocket_rules(authentication, at_aws)


def _websocket_rules(authentication: Authentication, at_aws: re.Match[str] | None) -> Iterator[str]:
    if not at_aws:
        yield (
            "agent.authentication.endpoint must be AWS's own name (...-ats.iot.REGION.amazonaws.com) with the method "
            f"websocket, because the request is signed for its region; got {authentication.endpoint!r}"
        )
    elif authentication.region not in (None, at_aws["region"]):
        yield (
            f"agent.authentication.region must be the endpoint's region {at_aws['region']}, "
            f"got {authentication.region!r}"
        )
    if authentication.port not in (None, 443):
        yield f"agent.authentication.port must be 443 with the method websocket, got {authentication.port}"


def _topic_rules(agent: Agent) -> Iterator[str]:
    if agent.topic is None:
        return
    rest = agent.topic.replace("{thing_name}", "")
    if rest == agent.topic:
        yield f"agent.topic must have {{thing_name}} in it, got {agent.topic!r}"
    if re.search(r"[+#{}\x00]", rest) or agent.topic.startswith(("$", "/")):
        yield f"agent.topic must not have + # {{ }} in it, nor begin with $ or /, got {agent.topic!r}"
    # what the reply topics add stays within the limits too
    longest = agent.topic.replace("{thing_name}", agent.thing_name or "") + "/accepted"
    if len(longest.encode()) > TOPIC_BYTES or longest.count("/") > TOPIC_SLASHES:
        yield f"agent.topic must leave room for /accepted within AWS IoT's 256 bytes and 7 slashes, got {agent.topic!r}"


def _proxy_rules(agent: Agent) -> Iterator[str]:
    if agent.proxy and (agent.proxy.username is None) != (agent.proxy.password is None):
        yield "agent.proxy.username and agent.proxy.password must be given together"


def _metrics_rules(config: Config) -> Iterator[str]:
    metrics = config.metrics
    blocks = (
        metrics.listening_tcp_ports, metrics.listening_udp_ports, metrics.tcp_connections, metrics.network_stats
    )  # fmt: skip
    if not config.custom_metrics and all(block is False for block in blocks):
        yield "metrics must leave at least one block on, or custom_metrics name one: there is nothing to report"


def _custom_metric_rules(name: str, metric: CustomMetric) -> Iterator[str]:
    where = f"custom_metrics.{name}"
    if name.startswith(AWS_PREFIX):
        yield f"{where} must not begin with aws:, which is AWS's own"
    if metric.command is not None and metric.source is not None:
        yield f"{where} must have a source or a command, not both"
    elif metric.command is not None and metric.type is None:
        yield f"{where}.type is missing; a command needs one of {', '.join(TYPES)}"
    elif metric.command is None:
        yield from _built_in_rules(where, metric.source or name, metric)


def _built_in_rules(where: str, source: str, metric: CustomMetric) -> Iterator[str]:
    built_in = BUILT_INS.get(source)
    if built_in is None:
        yield (
            f"{where} must have a source or a command, because {shown(source)} is not the name of a built-in"
            f"{did_you_mean(source, BUILT_INS)}"
        )
    elif metric.type not in (None, built_in.type):
        yield f"{where}.type must be {built_in.type} for the built-in {source}, got {metric.type}"

"""The rules of a configuration that no type can say: keys that need, exclude or limit one another."""

from __future__ import annotations

import re
from collections.abc import Iterator

from defender_daemon.collected import CustomMetric
from defender_daemon.config import SHORTEST_INTERVAL, Agent, Authentication, Config
from defender_daemon.extensions import ExtensionError
from defender_publisher import metrics
from defender_publisher.transports import method_of
from device_defender import shards
from device_defender.hosts import is_host
from device_defender.metrics import AWS_PREFIX, TYPES
from device_defender.wording import did_you_mean, shown

OWN_PARAMETERS = ("ThingName", "SerialNumber")  # of a provisioning template, which the program fills in
TOPIC_BYTES, TOPIC_SLASHES = 256, 7  # AWS IoT's limits of a topic


def broken_rules(config: Config) -> list[str]:
    """Return a sentence for every rule that a configuration of the right types breaks."""
    agent = config.agent
    return [
        *_interval_rules(agent),
        *([] if agent.dry_run else _authentication_rules(agent.authentication)),
        *_topic_rules(agent),
        *_provisioning_rules(agent),
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
    endpoint = authentication.endpoint or ""
    if endpoint and (":" in endpoint or not is_host(endpoint)):
        given = "" if "@" in endpoint else f", got {endpoint!r}"
        yield f"agent.authentication.endpoint must be a host name alone, without https:// and port{given}"
    else:
        yield from method_of(authentication).broken_rules(authentication)


def _topic_rules(agent: Agent) -> Iterator[str]:
    if agent.topic is None:
        return
    yield from (f"agent.topic {rule}, got {agent.topic!r}" for rule in shards.broken_rules(agent.topic))
    without_shard = shards.with_shard(agent.topic, "")
    rest = without_shard.replace("{thing_name}", "")
    if rest == without_shard:
        yield f"agent.topic must have {{thing_name}} in it, got {agent.topic!r}"
    if re.search(r"[+#{}\x00]", rest) or agent.topic.startswith(("$", "/")):
        yield f"agent.topic must not have + # {{ }} in it, nor begin with $ or /, got {agent.topic!r}"
    # what the reply topics add stays within the limits too
    longest = shards.topic_of(agent.topic, agent.thing_name or "") + "/accepted"
    if len(longest.encode()) > TOPIC_BYTES or longest.count("/") > TOPIC_SLASHES:
        yield f"agent.topic must leave room for /accepted within AWS IoT's 256 bytes and 7 slashes, got {agent.topic!r}"


def _provisioning_rules(agent: Agent) -> Iterator[str]:
    given, where = agent.provisioning, "agent.provisioning"
    if given is None:
        return
    if "certificate" not in method_of(agent.authentication).files(agent.authentication):
        yield f"{where} needs agent.authentication.method certificate, got {agent.authentication.method}"
    if (given.claim_certificate is None) != (given.claim_private_key is None):
        yield f"{where}.claim_certificate and {where}.claim_private_key must be given together"
    for name in OWN_PARAMETERS:
        if name in given.parameters:
            yield f"{where}.parameters must not have {name}, which is made from agent.thing_name or agent.instance"
    if given.rotate_after_days is not None and given.rotation_template is None:
        yield f"{where}.rotate_after_days needs {where}.rotation_template, the template that replaces a certificate"


def _proxy_rules(agent: Agent) -> Iterator[str]:
    if agent.proxy and not is_host(agent.proxy.host):
        given = "" if "@" in agent.proxy.host else f", got {shown(agent.proxy.host)}"  # a password may be in it
        yield (
            "agent.proxy.host must be a host name or address alone (port, username and password have keys of their "
            f"own){given}"
        )
    if agent.proxy and (agent.proxy.username is None) != (agent.proxy.password is None):
        yield "agent.proxy.username and agent.proxy.password must be given together"


def _metrics_rules(config: Config) -> Iterator[str]:
    given = config.metrics
    blocks = (given.listening_tcp_ports, given.listening_udp_ports, given.tcp_connections, given.network_stats)
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
        yield from _source_rules(where, metric.source or name, metric)


def _source_rules(where: str, source: str, metric: CustomMetric) -> Iterator[str]:
    try:
        found = metrics.find(source)
    except ExtensionError as error:
        yield f"{where} cannot be measured: {error}"
        return
    if found is None:
        yield (
            f"{where} must have a source or a command, because {shown(source)} is not the name of a built-in, nor of a "
            f"metric of an installed package{did_you_mean(source, metrics.names())}"
        )
    elif metric.type not in (None, found.type):
        yield f"{where}.type must be {found.type} for the source {source}, got {metric.type}"

"""Whether a configuration can be served: what is missing of it, and what of it cannot be used on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from defender_detect.alerts.of_profiles import describe_outside
from defender_detect.attachments import read_rules
from defender_detect.config import Config
from defender_detect.errors import DetectError
from defender_detect.receive.credentials import Credentials
from defender_detect.renewing import check_renewal
from device_defender.shards import shards_of


def check(config: Config, whole: bool) -> Iterator[str]:
    """Yield what is in force, a line each; raise DetectError if anything cannot be used."""
    rules = read_rules(config)
    if whole:
        check_endpoint(config)
        check_renewal(config)
        yield from check_files_and_targets(config)
    for each in rules.attachments:
        number, targets = len(each.profile.behaviors), ", ".join(sorted(each.targets))
        yield f"{each.profile.name}: {number} behavior{'s'[: number != 1]}, for {targets}"
    yield from describe_outside(rules)
    shards, kept = shards_of(config.agent.topic), config.agent.state_directory
    if shards is not None:
        which = f"shard {config.agent.shard} of" if config.agent.shard is not None else "all of"
        yield f"reports arrive on {config.agent.own_topic}, {which} {shards}"
    yield f"kept in {kept}" if kept else "nothing is kept: no state directory"


def check_endpoint(config: Config) -> None:
    """Raise DetectError with what is missing to serve."""
    agent, is_broker = config.agent, config.agent.embedded_broker
    if agent.authentication.endpoint is None and not is_broker:
        raise DetectError(
            "--endpoint is missing (agent.authentication.endpoint); to run the built-in broker: --embedded-broker"
        )
    missing = [
        f"--{key.replace('_', '-')} is missing (agent.authentication.{key})"
        for key in ("root_ca", "certificate", "private_key")
        if getattr(agent.authentication, key) is None
    ]
    if missing:
        raise DetectError("\n".join(missing))
    if not (0 if is_broker else 1) <= agent.authentication.port <= 65535:
        raise DetectError(f"--port must be from {0 if is_broker else 1} to 65535, got {agent.authentication.port}")
    if is_broker and agent.topic is not None:
        raise DetectError(
            "agent.topic needs a broker of your own: the built-in one keeps things apart on the reserved topics only"
        )


def check_shard(config: Config) -> None:
    """Raise DetectError where there are several shards, and it is not said which one this Detect answers."""
    shards = shards_of(config.agent.topic)
    if shards is not None and config.agent.shard is None:
        raise DetectError(
            f"--shard is missing (agent.shard): agent.topic has {shards} shards, and a Detect answers one, from 0 to "
            f"{shards - 1}; as a service: systemctl start amazon-defender-detect@0"
        )


def find_credentials(config: Config) -> Credentials:
    """Return who Detect is, by a configuration that says enough to serve."""
    authentication = config.agent.authentication
    files = (authentication.root_ca, authentication.certificate, authentication.private_key)
    return Credentials(*(Path(each or "") for each in files))


def check_files_and_targets(config: Config) -> Iterator[str]:
    """Raise DetectError if certificates cannot be used, or alerts not be delivered; yield what cannot be checked."""
    from defender_detect.audience import check_targets

    find_credentials(config).client_context()
    yield from check_targets(config, _publish_nothing)


def _publish_nothing(topic: str, payload: bytes, retain: bool = False) -> None:
    """Stand for a broker where alerts are only checked."""

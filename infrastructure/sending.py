"""What the devices of a fleet send to CloudWatch by their configuration: a namespace, and log groups of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defender_daemon.collected import Journal
from defender_daemon.config import Config
from defender_daemon.config_file import converted
from defender_daemon.errors import ConfigError
from device_defender.cloudwatch import BRACES, GROUP, RETENTIONS, STREAM, fill_in, is_namespace
from device_defender.wording import did_you_mean, shown
from infrastructure.errors import DeployError
from infrastructure.things import LONGEST_NAME

THING = "${credentials-iot:ThingName}"  # in a role's policy: whose certificate the credentials were given for
BRACES_OF_THING = ("thing_name", "instance_id")  # the same
ANY_THING = "x" * LONGEST_NAME
NOTHING = (
    "{path} says nothing that amazon-defender-cloudwatch would send: give metrics.namespace, or logs, for example "
    '"logs": {{"log_group_name": "/fleet/{{thing_name}}", "retention_in_days": 30, "logs_collected": {{"journal": '
    "true}}}}; or give --no-cloudwatch"
)


@dataclass(frozen=True)
class Place:
    """Where log events go; the group is a thing's own, or else the stream is."""

    group: str  # with {thing_name} in it, or {instance_id}
    stream: str | None  # as configured; None is the file's name


@dataclass(frozen=True)
class Sending:
    """What is sent, and where it goes."""

    namespace: str | None  # of metrics; None: none are sent
    places: tuple[Place, ...]  # of logs
    retention: int | None  # days; None is for ever

    def groups(self, thing: str) -> dict[str, str]:
        """Return the log groups that a thing sends to, each with whose it is: the thing, or nobody's ("")."""
        return {_filled(each.group, thing): thing if _is_own(each.group) else "" for each in self.places}

    @property
    def resources(self) -> tuple[str, ...]:
        """What of CloudWatch Logs a thing may send to, as the ends of ARNs in its role's policy."""
        return tuple(sorted({_resource(each) for each in self.places}))


def read_sending(device_config: Mapping[str, Any], path: Path) -> Sending:
    """Return what the devices send; raise DeployError with all that is wrong with it, or not a thing's own."""
    try:
        config = converted(dict(device_config))
    except ConfigError as error:
        raise DeployError("\n".join(f"{path}: {problem}" for problem in error.problems)) from error
    places = tuple(dict.fromkeys(place for place, _ in _places(config)))
    if config.metrics.namespace is None and not places:
        raise DeployError(NOTHING.format(path=path))
    problems = list(dict.fromkeys(_problems(config)))
    if problems:
        raise DeployError("\n".join(f"{path}: {problem}" for problem in problems))
    return Sending(config.metrics.namespace, places, config.logs.retention_in_days)


def refuse_colons(sending: Sending, things: tuple[str, ...]) -> None:
    """Raise DeployError for things whose names no log group can have: a policy names a group by its thing."""
    colons = [thing for thing in things if ":" in thing]
    if sending.places and colons:
        raise DeployError(
            f"{', '.join(colons)}: a thing that sends logs must have no : in its name, which log groups cannot have: "
            "list it under another name, or take logs out of the devices' configuration"
        )


def _places(config: Config) -> Iterator[tuple[Place, str]]:
    """Yield where log events go, each with the key that says so."""
    logs, files = config.logs, config.logs.logs_collected.files.collect_list
    for index, entry in enumerate(files):
        key = f"logs.logs_collected.files.collect_list[{index}]" if entry.log_group_name else "logs"
        yield Place(entry.log_group_name or logs.log_group_name, entry.log_stream_name), key
    journal = logs.logs_collected.journal
    journal = journal if isinstance(journal, Journal) else Journal(collect=journal)
    if journal.collect:
        key = "logs.logs_collected.journal" if journal.log_group_name else "logs"
        yield Place(journal.log_group_name or logs.log_group_name, journal.log_stream_name), key


def _problems(config: Config) -> Iterator[str]:
    namespace, retention = config.metrics.namespace, config.logs.retention_in_days
    if namespace is not None and not is_namespace(namespace):
        yield (
            "metrics.namespace must be 1 to 255 of the characters A-Z a-z 0-9 . - _ / #, and not begin with AWS/, got "
            f"{shown(namespace)}"
        )
    if retention is not None and retention not in RETENTIONS:
        yield f"logs.retention_in_days must be one of {', '.join(map(str, RETENTIONS))}, got {retention}"
    if config.agent.authentication.credentials is not None:
        yield (
            "agent.authentication.credentials must not be given, because --cloudwatch puts the fleet's own there: take "
            "it out, or give --no-cloudwatch"
        )
    for place, key in _places(config):
        yield from _place_problems(place, key)


def _place_problems(place: Place, key: str) -> Iterator[str]:
    parts = {"log_group_name": place.group, "log_stream_name": place.stream or ""}
    for name, text in parts.items():
        unknown = [each for each in BRACES.findall(text) if each not in BRACES_OF_THING]
        if "hostname" in unknown:
            yield (
                f"{key}.{name} must not have {{hostname}}, which deploy.py cannot know: write {{thing_name}}, got "
                f"{shown(text)}"
            )
        elif unknown:
            guess = did_you_mean(unknown[0], BRACES_OF_THING)
            yield f"{key}.{name} must have no braces but {{thing_name}} and {{instance_id}}, got {shown(text)}{guess}"
        if unknown:
            return
    if not GROUP.fullmatch(_filled(place.group, ANY_THING)):
        yield (
            f"{key}.log_group_name must be 1 to 512 characters (A-Z a-z 0-9 . - _ / #) with a thing's name in it, got "
            f"{shown(place.group)}"
        )
    if place.stream is not None and not STREAM.fullmatch(_filled(place.stream, ANY_THING)):
        yield f"{key}.log_stream_name must be 1 to 512 characters (any but : and *), got {shown(place.stream)}"
    if not _is_own(place.group) and not _is_own(place.stream or ""):
        yield (
            f"{key}.log_group_name must have {{thing_name}} in it, or log_stream_name must, so that no device can "
            f"write into another's logs, got {shown(place.group)}"
        )


def _is_own(text: str) -> bool:
    return any(f"{{{each}}}" in text for each in BRACES_OF_THING)


def _resource(place: Place) -> str:
    group = f"log-group:{_with_variable(place.group)}"
    return f"{group}:*" if _is_own(place.group) else f"{group}:log-stream:{_with_variable(place.stream or '')}"


def _with_variable(text: str) -> str:
    return BRACES.sub(lambda found: THING, text)


def _filled(text: str, thing: str) -> str:
    return fill_in(text, dict.fromkeys(BRACES_OF_THING, thing))

"""Parameters: what a deployment configures the component with, as the publisher's configuration.

The words are those of the connector of Greengrass V1 and of AWS's component, so that their parameters can be pasted
whole; the publisher's own sections are laid over them. Values come from the nucleus, and nucleus lite makes strings of
YAML's numbers: a string that is a number where a number belongs is taken for one, and `true` never is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union

import msgspec
from msgspec import field

from defender_daemon.config import SHORTEST_INTERVAL, Config, Raw
from defender_publisher.errors import ConfigError
from device_defender.kinds import inspected, kinds_of
from device_defender.validation import find_problems
from device_defender.wording import shown

LONGEST_INTERVAL = 86_400  # seconds; Detect takes a thing that is silent for two days for gone
WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")
NOT_HERE = {  # keys of `agent` that are the nucleus's affair, and why
    "authentication": "the nucleus's connection to AWS IoT is used",
    "client_id": "the nucleus's connection to AWS IoT is used",
    "instance": "the core reports under its own thing name",
    "provisioning": "the nucleus's connection to AWS IoT is used",
    "proxy": "the nucleus's connection to AWS IoT is used",
    "thing_name": "the core reports under its own thing name",
    "topic": "the component's accessControl allows Device Defender's topics only",
    "dry_run": "use the option --dry-run",
}
WITHOUT_COUNTERPART = {  # parameters of the forebears that are taken and do nothing
    "ProcDestinationPath-ResourceId": "a Greengrass V2 component sees the host's files without a volume resource",
    "PublishRetryCount": "reports are retried with a back-off for as long as it takes",
    "UseInstaller": "the component brings its packages along",
}


Interval = Union[int, str]  # nucleus lite has no numbers


class Component(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The component's configuration, as a deployment gives it."""

    interval: Interval = field(name="SampleIntervalSeconds", default=SHORTEST_INTERVAL)
    """Seconds between two reports, 300 to 86400: `agent.publish_interval`."""
    procfs: str = field(name="ProcDestinationPath", default="/proc")
    """Where the host's /proc is, if the nucleus runs in a container: `agent.procfs_path`."""
    agent: dict[str, Any] = {}
    """As in the publisher's configuration; wins over the above."""
    metrics: dict[str, Any] = {}
    """As in the publisher's configuration."""
    custom_metrics: dict[str, Any] = {}
    """As in the publisher's configuration."""
    access_control: Any = field(name="accessControl", default=None)
    """What the component may do at the nucleus; the recipe's."""
    resource_id: Any = field(name="ProcDestinationPath-ResourceId", default=None)
    """The connector's; accepted, without effect."""
    retries: Any = field(name="PublishRetryCount", default=None)
    """AWS's component's; accepted, without effect."""
    installer: Any = field(name="UseInstaller", default=None)
    """AWS's component's; accepted, without effect."""


def read_parameters(given: object, short_names: bool) -> Raw:
    """Return the publisher's configuration that a deployment's amounts to.

    `short_names` is the default for `agent.short_names`. Raises ConfigError with everything that is wrong.
    """
    problems = list(_problems(given))
    if problems:
        raise ConfigError(problems)
    component = msgspec.convert(given, Component)
    agent = {
        "publish_interval": int(component.interval),
        "procfs_path": component.procfs,
        "short_names": short_names,
        **component.agent,
    }
    sections = {"agent": agent, "metrics": component.metrics, "custom_metrics": component.custom_metrics}
    raw = _unquoted(sections, inspected(Config))
    assert isinstance(raw, dict)
    return raw


def notes_on(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each parameter that is taken and has no effect."""
    for name, reason in WITHOUT_COUNTERPART.items():
        if name in given:
            yield f"{name} has no effect here: {reason}"


def _problems(given: object) -> Iterator[str]:
    yield from find_problems(given, Component, name="the component's configuration")
    if not isinstance(given, dict):
        return
    if "SampleIntervalSeconds" in given:
        yield from _interval_problems(given["SampleIntervalSeconds"])
    if isinstance(given.get("ProcDestinationPath"), str):
        yield from _procfs_problems(given["ProcDestinationPath"])
    agent = given.get("agent")
    for key in agent if isinstance(agent, dict) else ():
        if key in NOT_HERE:
            yield f"agent.{key} cannot be set in a component: {NOT_HERE[key]}; leave it out"


def _interval_problems(value: object) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return  # the definition says so
    text = str(value).strip()
    if not WHOLE_NUMBER.fullmatch(text) or not SHORTEST_INTERVAL <= int(text) <= LONGEST_INTERVAL:
        yield (
            f"SampleIntervalSeconds must be a whole number of seconds from {SHORTEST_INTERVAL} to {LONGEST_INTERVAL}, "
            f"got {shown(value)}"
        )


def _procfs_problems(text: str) -> Iterator[str]:
    path = Path(text)
    if not path.is_absolute():
        yield f"ProcDestinationPath must be an absolute path such as /proc, got {shown(text)}"
    elif not (path / "net").is_dir():
        yield f"ProcDestinationPath must be where the host's /proc is, but {shown(text)} has no directory net"


def _unquoted(value: Any, kind: msgspec.inspect.Type) -> Any:
    """Return a value with strings that are numbers or truth values made such where the definition wants them."""
    kinds = [each.type for each in kinds_of(kind)]
    for each in kinds:
        if isinstance(value, dict) and isinstance(each, msgspec.inspect.StructType):
            fields = {one.encode_name: one.type for one in each.fields}
            return {key: _unquoted(inner, fields[key]) if key in fields else inner for key, inner in value.items()}
        if isinstance(value, dict) and isinstance(each, msgspec.inspect.DictType):
            return {key: _unquoted(inner, each.value_type) for key, inner in value.items()}
    wants_text = any(isinstance(each, (msgspec.inspect.StrType, msgspec.inspect.LiteralType)) for each in kinds)
    return value if wants_text or not isinstance(value, str) else _as_json(value, kinds)


def _as_json(text: str, kinds: list[msgspec.inspect.Type]) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        return text
    numbers = (msgspec.inspect.IntType, msgspec.inspect.FloatType)
    fits = isinstance(found, bool) and any(isinstance(each, msgspec.inspect.BoolType) for each in kinds)
    fits = fits or (type(found) in (int, float) and any(isinstance(each, numbers) for each in kinds))
    return found if fits else text

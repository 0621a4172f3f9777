"""The settings: one configuration as the program uses it, and where each of its values came from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from defender_daemon import DEFAULT_CONFIG_FILE
from defender_daemon.collected import CustomMetric
from defender_daemon.config import Agent, Config, Raw
from defender_daemon.config_file import converted, read_json, resolved, state_directory
from defender_daemon.identity import thing_name_of
from defender_publisher import metrics
from defender_publisher.errors import ConfigError
from defender_publisher.rules import broken_rules
from defender_publisher.transports import method_of
from device_defender.metrics import BUILT_INS
from device_defender.shards import topic_of
from device_defender.wording import key_path

RESERVED_TOPIC = "$aws/things/{thing_name}/defender/metrics/"
AMAZON_ROOTS = Path(__file__).with_name("roots") / "amazon-root-ca.pem"  # Amazon Root CA 1 and 3
HIDDEN = "(hidden)"
OF_TEMPLATE = "agent.provisioning.parameters."


class Settings(msgspec.Struct, frozen=True):
    """A valid configuration with every default filled in; `origins` maps dotted keys to "file" or "command line"."""

    config: Config
    thing_name: str
    topic: str
    path: Path | None = None
    origins: Mapping[str, str] = msgspec.field(default_factory=dict)

    @property
    def agent(self) -> Agent:
        """The configuration's agent section."""
        return self.config.agent

    def check(self) -> list[str]:
        """Return the lines that tell what the configuration amounts to.

        Raises ConfigError when the certificate is not valid now: the daemon waits for that to change.
        """
        certificate = self.agent.authentication.certificate
        if certificate and not self.agent.dry_run:
            from defender_publisher.credentials import validity_problem

            problem = validity_problem(certificate)
            if problem:
                raise ConfigError([problem])
        return list(self.lines())

    def lines(self) -> Iterator[str]:
        """Yield `key = value (origin)` for every effective value, in the order of the definition."""
        yield f"thing name = {self.thing_name}"
        yield f"topic = {self.topic}"
        yield from _lines(self.config, "", self.origins)


def find_config_file(given: Path | None, overrides: Raw) -> Path | None:
    """Return the configuration file to read: the one given, or the default one.

    With an endpoint given there need be none, nor for a dry run, which takes the default one if it can be read.
    """
    agent = overrides.get("agent", {})
    if given is not None or "authentication" in agent:
        return given
    default = Path(DEFAULT_CONFIG_FILE)
    return None if agent.get("dry_run") and not os.access(default, os.R_OK) else default


def read_settings(path: Path | None, overrides: Raw, credentials: bool = True) -> Settings:
    """Read the file at `path` (None: defaults only), lay `overrides` over it, and check the whole.

    Raises ConfigError with every problem of the first kind found: JSON, then types and keys, then rules, then the
    thing's name and the files of the credentials (unless `credentials` is False).
    """
    where = f"{path}: " if path else ""
    try:
        config, origins = read_as_written(path, overrides)
        name = thing_name_of(config.agent, unknown_allowed=config.agent.dry_run)
        if credentials and not config.agent.dry_run:
            _check_credentials(config.agent, path)
        return settle(config, name, path, origins)
    except ConfigError as error:
        raise ConfigError([where + problem for problem in error.problems]) from error.__cause__


def read_config(path: str | os.PathLike[str] | None = None, overrides: Raw | None = None) -> Config:
    """Return the configuration in the file at `path` (None: the defaults), every default filled in. No key is read.

    `overrides` are laid over the file, in the shape of its JSON. Raises ConfigError with every problem found.
    """
    return read_settings(None if path is None else Path(path), overrides or {}, credentials=False).config


def read_as_written(path: Path | None, overrides: Raw) -> tuple[Config, dict[str, str]]:
    """Return the configuration as it is written, checked in itself, and the origins of its values; as above."""
    text = resolved(read_json(path), path.parent) if path else {}
    given = resolved(overrides, Path.cwd())
    config = _checked(_merged(text, given))
    return config, {**dict.fromkeys(_keys(text), "file"), **dict.fromkeys(_keys(given), "command line")}


def settle(config: Config, thing_name: str, path: Path | None, origins: Mapping[str, str]) -> Settings:
    """Fill in every default that depends on the thing's name, the method or the service manager."""
    agent = config.agent
    topic = topic_of(agent.topic or RESERVED_TOPIC + agent.format, thing_name)
    return Settings(msgspec.structs.replace(config, agent=_filled(agent, thing_name)), thing_name, topic, path, origins)


def _merged(below: Any, above: Raw) -> Any:
    if not isinstance(below, dict):
        return below  # not an object: the validation says so
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _merged(below.get(key, {}), value) if isinstance(value, dict) else value
    return merged


def _checked(raw: Any) -> Config:
    config = converted(raw)
    problems = broken_rules(config)
    if problems:
        raise ConfigError(problems)
    return config


def _check_credentials(agent: Agent, path: Path | None) -> None:
    from defender_publisher.credentials import credential_problems, missing_identity  # here: a dry run does without TLS

    missing = missing_identity(agent, path)
    problems = [str(missing)] if missing is not None else credential_problems(agent.authentication)
    if problems:
        raise ConfigError(problems)


def _filled(agent: Agent, thing_name: str) -> Agent:
    authentication = msgspec.structs.replace(
        agent.authentication,
        port=agent.authentication.port or method_of(agent.authentication).port,
        root_ca=agent.authentication.root_ca or str(AMAZON_ROOTS),
    )
    return msgspec.structs.replace(
        agent,
        thing_name=thing_name,
        client_id=agent.client_id or thing_name,
        authentication=authentication,
        metrics_collection_interval=agent.look_interval,
        state_directory=state_directory(agent, os.environ),
    )


def _keys(raw: Any, path: str = "") -> Iterator[str]:
    for key, value in raw.items() if isinstance(raw, dict) else ():
        yield key_path(path, key)
        yield from _keys(value, key_path(path, key))


def _lines(struct: msgspec.Struct, path: str, origins: Mapping[str, str]) -> Iterator[str]:
    for each in msgspec.structs.fields(struct):
        value, key = getattr(struct, each.name), key_path(path, each.encode_name)
        for name, inner in value.items() if isinstance(value, dict) else [("", value)]:
            yield from _value_lines(inner, key_path(key, name) if name else key, origins)


def _described(metric: CustomMetric, key: str) -> str:
    if metric.command is not None:
        return f"{metric.type}, the output of {json.dumps(metric.command)} within {metric.timeout:g} s"
    source = metric.source or key.rpartition(".")[2]
    found = metrics.find(source)
    assert found is not None  # the rules say so
    return f"{found.type}, the {'built-in' if source in BUILT_INS else 'metric'} {source}"


def _is_secret(key: str) -> bool:
    """Whether a value is not to be shown: a proxy's password, or a template's parameter of such a name."""
    if key.startswith(OF_TEMPLATE):
        from defender_daemon.redaction import SECRET_KEY  # here, because few have such parameters

        return SECRET_KEY.search(key.removeprefix(OF_TEMPLATE)) is not None
    return key.endswith("password")


def _value_lines(value: Any, key: str, origins: Mapping[str, str]) -> Iterator[str]:
    if isinstance(value, CustomMetric):
        yield f"{key} = {_described(value, key)} ({origins.get(key, 'default')})"
    elif isinstance(value, msgspec.Struct):
        yield from _lines(value, key, origins)
    elif value is not None:
        text = HIDDEN if _is_secret(key) else json.dumps(msgspec.to_builtins(value))
        yield f"{key} = {text} ({origins.get(key, 'default')})"

"""The configuration as this program uses it: what of the shared file concerns CloudWatch, with its defaults."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from defender_cloudwatch import credentials
from defender_cloudwatch.connection import Identity, Proxy, Way
from defender_cloudwatch.entries import FileEntry, JournalEntry, file_entries, journal_entry, journal_of, log_problems
from defender_daemon.config import Agent, AwsCredentials, Config
from defender_daemon.config_file import converted, read_json, resolved, state_directory
from defender_daemon.errors import ConfigError
from defender_daemon.identity import thing_name_of
from device_defender.cloudwatch import ROLE_ALIAS, is_namespace
from device_defender.wording import shown

METRICS_INTERVAL = 300  # seconds, the CloudWatch publisher's default
LOG_FILE = "amazon-defender-cloudwatch.log"  # beside the publisher's, whose file two programs cannot rotate
PROVIDER = re.compile(r"[\w-]+\.credentials\.iot\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?")
LOOPBACK = re.compile(r"localhost:\d{1,5}")  # a double of the provider
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


class Settings(NamedTuple):
    """A valid configuration with every default filled in."""

    path: Path
    config: Config
    thing_name: str
    region: str
    agent: Agent
    source: credentials.Source
    way: Way
    namespace: str | None
    dimensions: Sequence[str]
    names: str
    metrics_interval: int
    logs_interval: int
    files: Sequence[FileEntry]
    journal: JournalEntry | None
    retention: int | None
    state_directory: Path
    endpoint: str | None

    def lines(self) -> Iterator[str]:
        """Yield what the configuration amounts to."""
        yield f"thing name = {self.thing_name}"
        yield f"region = {self.region}"
        given = self.agent.authentication.credentials
        yield f"credentials = {f'{given.endpoint}, role alias {given.role_alias}' if given else 'the environment'}"
        if self.namespace:
            named = f"{self.namespace} ({', '.join(self.dimensions)}; {self.names}'s names)"
            yield f"metrics = {named} every {self.metrics_interval} s"
        for each in self.files:
            yield f"{each.pattern} = {each.group}, stream {each.stream or 'of its name'}, every {self.logs_interval} s"
        if self.journal:
            yield f"journal = {self.journal.group}, stream {self.journal.stream}, every {self.logs_interval} s"
        yield f"places = {self.state_directory}"


def read_settings(
    path: Path, environment: Mapping[str, str] = os.environ, private_key: str | None = None, files: bool = True
) -> Settings:
    """Read the file at `path`; `private_key` overrides its own. Raises ConfigError with every problem found.

    Without `files` the certificate and its key need not be there: whoever asks how a daemon does may not read them.
    """
    try:
        config = _with_key(converted(resolved(read_json(path), path.parent)), private_key)
        name = thing_name_of(config.agent)
        problems = list(_problems(config, name, environment, files))
        if problems:
            raise ConfigError(problems)
        return _settle(path, config, name, environment)
    except ConfigError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from error.__cause__


def _with_key(config: Config, private_key: str | None) -> Config:
    if private_key is None:
        return config
    authentication = msgspec.structs.replace(config.agent.authentication, private_key=os.path.abspath(private_key))
    agent = msgspec.structs.replace(config.agent, authentication=authentication)
    return msgspec.structs.replace(config, agent=agent)


def own_log(agent: Agent) -> str | None:
    """Return the path of this program's own log file, None for standard error."""
    return str(Path(agent.logfile).with_name(LOG_FILE)) if agent.logfile else None


def _problems(config: Config, thing_name: str, environment: Mapping[str, str], files: bool) -> Iterator[str]:
    given = config.logs.logs_collected
    if config.metrics.namespace is None and not given.files.collect_list and journal_of(given) is None:
        yield (
            "there is nothing to send to CloudWatch: give metrics.namespace, logs.logs_collected.files.collect_list or "
            "logs.logs_collected.journal"
        )
    yield from _metrics_problems(config)
    yield from log_problems(config.logs, thing_name, own_log(config.agent))
    yield from _credentials_problems(config.agent, files)
    if not _region(config.agent, environment):
        yield "agent.region is missing; give the region of your log groups, eu-west-1 for instance"
    elif not REGION.fullmatch(_region(config.agent, environment)):
        yield f"agent.region must be a region such as eu-west-1, got {shown(_region(config.agent, environment))}"


def _metrics_problems(config: Config) -> Iterator[str]:
    namespace = config.metrics.namespace
    if namespace is not None and not is_namespace(namespace):
        yield (
            "metrics.namespace must be 1 to 255 of the characters A-Z a-z 0-9 . - _ / #, and not begin with AWS/, got "
            f"{shown(namespace)}"
        )
    if len(set(config.metrics.dimensions)) < len(config.metrics.dimensions):
        yield "metrics.dimensions must name each dimension once"


def _credentials_problems(agent: Agent, files: bool) -> Iterator[str]:
    given, where = agent.authentication.credentials, "agent.authentication"
    if given is None:
        return
    if not PROVIDER.fullmatch(given.endpoint) and not LOOPBACK.fullmatch(given.endpoint):
        yield (
            f"{where}.credentials.endpoint must be a host such as c1abc.credentials.iot.eu-west-1.amazonaws.com, "
            "without https:// (`aws iot describe-endpoint --endpoint-type iot:CredentialProvider`), got "
            f"{shown(given.endpoint)}"
        )
    if not ROLE_ALIAS.fullmatch(given.role_alias):
        yield (
            f"{where}.credentials.role_alias must be 1 to 128 of the characters A-Z a-z 0-9 _ = , @ -, got "
            f"{shown(given.role_alias)}"
        )
    for name in ("certificate", "private_key"):
        path = getattr(agent.authentication, name)
        if path is None:
            yield f"{where}.{name} is missing; {where}.credentials needs it"
        elif files and not os.access(path, os.R_OK):
            reason = "cannot be read" if os.path.exists(path) else "is not there"
            yield f"{where}.{name} must be a file that can be read, but {path} {reason}"


def _settle(path: Path, config: Config, thing_name: str, environment: Mapping[str, str]) -> Settings:
    agent = config.agent
    way = _way(agent)
    return Settings(
        path=path,
        config=config,
        thing_name=thing_name,
        region=_region(agent, environment),
        agent=agent,
        source=_source(agent.authentication.credentials, agent, thing_name, way, environment),
        way=way,
        namespace=config.metrics.namespace,
        dimensions=config.metrics.dimensions,
        names=config.metrics.names,
        metrics_interval=agent.metrics_collection_interval or METRICS_INTERVAL,
        logs_interval=agent.logs_collection_interval,
        files=file_entries(config.logs, thing_name),
        journal=journal_entry(config.logs, thing_name),
        retention=config.logs.retention_in_days,
        state_directory=Path(state_directory(agent, environment)),
        endpoint=environment.get("AWS_ENDPOINT_URL") or None,
    )


def _way(agent: Agent) -> Way:
    proxy = agent.proxy
    way = None if proxy is None else Proxy(proxy.host, proxy.port, proxy.username, proxy.password)
    return Way(agent.authentication.root_ca, way)


def _source(
    given: AwsCredentials | None, agent: Agent, thing_name: str, way: Way, environment: Mapping[str, str]
) -> credentials.Source:
    if given is None:
        return credentials.of_surroundings(environment)
    identity = Identity(str(agent.authentication.certificate), str(agent.authentication.private_key))
    return credentials.of_device(given.endpoint, given.role_alias, thing_name, identity, way)


def _region(agent: Agent, environment: Mapping[str, str]) -> str:
    given = agent.authentication.credentials
    found = PROVIDER.fullmatch(given.endpoint) if given else None
    usual = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or ""
    return agent.region or (found[1] if found else "") or usual

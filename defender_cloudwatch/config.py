"""The configuration as this program uses it: what of the shared file concerns CloudWatch, with its defaults."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from defender_cloudwatch import credentials
from defender_cloudwatch.connection import Identity, Proxy, Way
from defender_cloudwatch.lines import MATCHED_LENGTH, Choice, Pattern
from defender_cloudwatch.probe import worst_line
from defender_daemon import PROGRAM_DIRECTORY
from defender_daemon.collected import Journal, LogFile
from defender_daemon.config import Agent, AwsCredentials, Config
from defender_daemon.config_file import converted, read_json, resolved
from defender_daemon.errors import ConfigError
from defender_daemon.identity import thing_name_of
from device_defender.cloudwatch import BRACES, GROUP, RETENTIONS, ROLE_ALIAS, STREAM, fill_in, is_namespace
from device_defender.wording import did_you_mean, shown

METRICS_INTERVAL = 300  # seconds, the CloudWatch publisher's default
LOG_FILE = "amazon-defender-cloudwatch.log"  # beside the publisher's, whose file two programs cannot rotate
PROVIDER = re.compile(r"[\w-]+\.credentials\.iot\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?")
LOOPBACK = re.compile(r"localhost:\d{1,5}")  # a double of the provider
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
SHOWN = 20  # characters of a line


class FileEntry(NamedTuple):
    """An entry of the list of files: what is followed, where it goes, and which lines."""

    pattern: str
    group: str
    stream: str | None
    choice: Choice
    start: Pattern | None
    from_start: bool


class JournalEntry(NamedTuple):
    """The journal: which units, where it goes, and which entries."""

    units: Sequence[str]
    group: str
    stream: str
    choice: Choice


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
    journal, logs = _journal(config), config.logs
    if config.metrics.namespace is None and not logs.logs_collected.files.collect_list and journal is None:
        yield (
            "there is nothing to send to CloudWatch: give metrics.namespace, logs.logs_collected.files.collect_list or "
            "logs.logs_collected.journal"
        )
    yield from _metrics_problems(config)
    if logs.retention_in_days is not None and logs.retention_in_days not in RETENTIONS:
        days = ", ".join(map(str, RETENTIONS))
        yield f"logs.retention_in_days must be one of {days}, got {logs.retention_in_days}"
    yield from _name_problems("logs.log_group_name", logs.log_group_name, thing_name, GROUP)
    for index, each in enumerate(logs.logs_collected.files.collect_list):
        yield from _file_problems(f"logs.logs_collected.files.collect_list[{index}]", each, thing_name, config.agent)
    if journal is not None:
        yield from _journal_problems("logs.logs_collected.journal", journal, thing_name)
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


def _name_problems(key: str, text: str | None, thing_name: str, shape: re.Pattern[str]) -> Iterator[str]:
    if text is None:
        return
    known = _names(thing_name)
    unknown = [each for each in BRACES.findall(text) if each not in known]
    if unknown:
        braces = ", ".join(f"{{{each}}}" for each in known)
        yield f"{key} must have no braces but {braces}, got {shown(text)}{did_you_mean(unknown[0], known)}"
    elif not shape.fullmatch(_filled(text, thing_name)):
        allowed = "A-Z a-z 0-9 . - _ / #" if shape is GROUP else "any but : and *"
        yield f"{key} must be 1 to 512 characters ({allowed}), got {shown(text)}"


def _file_problems(key: str, entry: LogFile, thing_name: str, agent: Agent) -> Iterator[str]:
    yield from _name_problems(f"{key}.log_group_name", entry.log_group_name, thing_name, GROUP)
    yield from _name_problems(f"{key}.log_stream_name", entry.log_stream_name, thing_name, STREAM)
    yield from _path_problems(f"{key}.file_path", entry.file_path, agent)
    start = [entry.multi_line_start_pattern] if entry.multi_line_start_pattern is not None else []
    given = {"include_patterns": entry.include_patterns, "exclude_patterns": entry.exclude_patterns}
    yield from _pattern_problems(key, {**given, "multi_line_start_pattern": start})


def _path_problems(key: str, path: str, agent: Agent) -> Iterator[str]:
    own = own_log(agent)
    if not os.path.isabs(path) or "\0" in path:
        yield f"{key} must be an absolute path, got {shown(path)}"
    elif own is not None and os.path.realpath(path) == os.path.realpath(own):
        yield f"{key} must not be this program's own log, {own}: each line that is sent would bring another"
    else:
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError):
            return  # not there yet, or a pattern; one that may not be read is said when it is
        if not stat.S_ISREG(mode):
            yield f"{key} must be a regular file, but {path} is a {_kind(mode)}"


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "directory", stat.S_IFIFO: "FIFO", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


def _journal_problems(key: str, journal: Journal, thing_name: str) -> Iterator[str]:
    yield from _name_problems(f"{key}.log_group_name", journal.log_group_name, thing_name, GROUP)
    yield from _name_problems(f"{key}.log_stream_name", journal.log_stream_name, thing_name, STREAM)
    given = {"include_patterns": journal.include_patterns, "exclude_patterns": journal.exclude_patterns}
    yield from _pattern_problems(key, given)
    for unit in journal.units:
        if not re.fullmatch(r"[\w@:.\\*?\[\]-]+", unit, re.ASCII):
            yield f"{key}.units must name units such as sshd.service, got {shown(unit)}"


def _pattern_problems(key: str, given: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name, patterns in given.items():
        for pattern in patterns:
            try:
                line = worst_line(re.compile(pattern), MATCHED_LENGTH)
            except (re.error, RecursionError, OverflowError) as error:
                yield f"{key}.{name} must be regular expressions, but {shown(pattern)} is none: {error}"
                continue
            if line is not None:
                yield (
                    f"{key}.{name} must be patterns that end in time, but {shown(pattern)} tries for more than a "
                    f"second on a line such as {shown(line[:SHOWN])}; repeat nothing that is a repetition itself, as "
                    "in (a+)+"
                )


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
    state = (
        agent.state_directory or environment.get("STATE_DIRECTORY", "").split(":")[0] or f"{PROGRAM_DIRECTORY}/state"
    )
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
        files=[_file(each, config, thing_name) for each in config.logs.logs_collected.files.collect_list],
        journal=_journal_entry(config, thing_name),
        retention=config.logs.retention_in_days,
        state_directory=Path(state),
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


def _journal(config: Config) -> Journal | None:
    given = config.logs.logs_collected.journal
    if isinstance(given, Journal):
        return given if given.collect else None
    return Journal() if given else None


def _journal_entry(config: Config, thing_name: str) -> JournalEntry | None:
    found = _journal(config)
    if found is None:
        return None
    group = _filled(found.log_group_name or config.logs.log_group_name, thing_name)
    choice = Choice(_compiled(found.include_patterns), _compiled(found.exclude_patterns))
    return JournalEntry(found.units, group, _filled(found.log_stream_name, thing_name), choice)


def _file(entry: LogFile, config: Config, thing_name: str) -> FileEntry:
    return FileEntry(
        pattern=entry.file_path,
        group=_filled(entry.log_group_name or config.logs.log_group_name, thing_name),
        stream=None if entry.log_stream_name is None else _filled(entry.log_stream_name, thing_name),
        choice=Choice(_compiled(entry.include_patterns), _compiled(entry.exclude_patterns)),
        start=re.compile(entry.multi_line_start_pattern) if entry.multi_line_start_pattern is not None else None,
        from_start=entry.begin == "start",
    )


def _compiled(patterns: Sequence[str]) -> list[Pattern]:
    return [re.compile(each) for each in patterns]


def _names(thing_name: str) -> dict[str, str]:
    return {"thing_name": thing_name, "instance_id": thing_name, "hostname": socket.gethostname()}


def _filled(text: str, thing_name: str) -> str:
    """Put this device's names into braces."""
    return fill_in(text, _names(thing_name))

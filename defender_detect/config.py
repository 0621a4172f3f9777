"""Detect's configuration: JSON with `agent` (who it is and where) and `detect` (what is normal, what to keep)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defender_detect.alerts.topic import TopicSink
from defender_detect.alerts.webhook import check_headers, check_url
from defender_detect.entries import Check, Entry, check_boolean, check_each, check_text
from defender_detect.errors import AlertSettingError, ConfigError
from defender_detect.evaluate.detector import ALL_THINGS, MOST_THINGS
from defender_detect.receive.endpoint import is_host
from defender_detect.store.store import MOST_BYTES

LONGEST = 1024  # characters of a path, a name or a URL
MOST_DAYS = 36_500
LEAST_BYTES = 10_000_000  # of the database; less is no more than a try
LARGEST = 2**53  # of a whole number, as JSON carries it anywhere
LONGEST_INTERVAL = 365 * 24 * 3600.0  # seconds between two reports of a thing
DEFAULT_PORT = 8883
THING_NAME = "{thing_name}"
FILES = ("root_ca", "certificate", "private_key")
ALERTS: Mapping[str, tuple[str, ...]] = {  # type -> its keys, the first of which is required
    "log": (),
    "topic": ("topic", "readers"),
    "webhook": ("url", "headers"),
    "command": ("command",),
    "sns": ("topic_arn",),
}

Raw = dict[str, Any]


@dataclass(frozen=True)
class ProfileSource:
    """A security profile's file, or a directory of them, and the thing groups it is for."""

    path: Path
    targets: frozenset[str] = frozenset({ALL_THINGS})


@dataclass(frozen=True)
class Config:
    """A valid configuration, with its paths made absolute."""

    endpoint: str | None = None  # None: loopback, for the embedded broker
    port: int = DEFAULT_PORT
    root_ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    revoked: Path | None = None  # who is shut out of the embedded broker; None: revoked.txt beside root_ca
    embedded_broker: bool = False
    topic: str | None = None  # of reports, with {thing_name} in it; None: Device Defender's reserved ones
    minimum_interval: float = 300.0  # seconds
    state_directory: Path | None = None  # None: nothing is kept
    debug: bool = False
    profiles: tuple[ProfileSource, ...] = ()
    thing_groups: Path | None = None
    metrics_days: float = 14.0
    violations_days: float = 30.0
    most_things: int = MOST_THINGS
    most_bytes: int = MOST_BYTES
    alerts: tuple[Mapping[str, Any], ...] = ()


def read_config(path: Path | None, options: Mapping[str, Any]) -> Config:
    """Read a file (None: none) and lay the options given over it; raise ConfigError with all that is wrong with it."""
    document = read_document(path) if path else {}
    problems: list[str] = []
    check_config(Entry(document, "", problems))
    if problems:
        raise ConfigError([f"{path}: {problem}" for problem in problems])
    directory = path.parent.resolve() if path else Path.cwd()
    agent, detect = document.get("agent", {}), document.get("detect", {})
    from_file = {**agent, **agent.get("authentication", {}), **detect}
    from_file.pop("authentication", None)
    given = {key: value for key, value in options.items() if value is not None}
    values = {**_with_paths(from_file, directory), **given}
    if "state_directory" not in values and os.environ.get("STATE_DIRECTORY"):
        values["state_directory"] = Path(os.environ["STATE_DIRECTORY"].split(":")[0])  # systemd's
    return Config(**values)


def read_document(path: Path) -> Any:
    """Return what a JSON file holds; raise ConfigError if that cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"{path}: must be JSON in UTF-8: {error}"]) from error


def read_groups(path: Path) -> dict[str, list[str]]:
    """Return the thing groups of a JSON file, name -> things; raise ConfigError with all problems."""
    document = read_document(path)
    problems: list[str] = []
    entry = Entry(document, "", problems)
    if entry.expect(isinstance(document, dict), "be an object of group names and lists of things"):
        for name in document:
            check_each(check_text(1, 128))(entry.key(name))
        if ALL_THINGS in document:
            entry.key(ALL_THINGS).complain("must have another name, because this one means every thing")
    if problems:
        raise ConfigError([f"{path}: {problem}" for problem in problems])
    return dict(document)


def check_config(entry: Entry) -> None:
    """Check the whole configuration."""
    entry.check_object({"$schema": _check_path, "agent": _check_agent, "detect": _check_detect})


def _check_agent(entry: Entry) -> None:
    entry.check_object(
        {
            "authentication": _check_authentication,
            "embedded_broker": check_boolean,
            "topic": _check_topic,
            "minimum_interval": _check_number(0.0, LONGEST_INTERVAL),
            "state_directory": _check_path,
            "debug": check_boolean,
        }
    )


def _check_authentication(entry: Entry) -> None:
    checks: dict[str, Check] = dict.fromkeys(FILES, _check_path)
    entry.check_object({"endpoint": _check_host, "port": _check_port, "revoked": _check_path, **checks})


def _check_detect(entry: Entry) -> None:
    entry.check_object(
        {
            "profiles": check_each(_check_profile),
            "thing_groups": _check_path,
            "metrics_days": _check_number(0.01, MOST_DAYS),
            "violations_days": _check_number(0.01, MOST_DAYS),
            "most_things": _check_whole(1, LARGEST),
            "most_bytes": _check_whole(LEAST_BYTES, LARGEST),
            "alerts": check_each(_check_alert),
        }
    )


def _check_profile(entry: Entry) -> None:
    if isinstance(entry.value, str):
        _check_path(entry)
    else:
        entry.check_object({"path": _check_path, "targets": _check_targets}, required=["path"])


def _check_targets(entry: Entry) -> None:
    check_each(check_text(1, 128))(entry)
    entry.expect(entry.value != [], "have at least one target")


def _check_alert(entry: Entry) -> None:
    kind = entry.value.get("type") if isinstance(entry.value, dict) else None
    if not isinstance(kind, str) or kind not in ALERTS:
        Entry(kind, f"{entry.path}.type", entry.problems).expect(False, f"be one of {', '.join(ALERTS)}")
        return
    checks: dict[str, Check] = {
        "url": _check_setting(check_url),
        "headers": _check_headers,
        "topic": _check_setting(lambda topic: TopicSink(topic, print)),
        "readers": check_each(check_text(1, 128)),
        "topic_arn": check_text(1, LONGEST),
        "command": _check_command,
    }
    keys = ALERTS[kind]
    entry.check_object({"type": lambda _: None, **{key: checks[key] for key in keys}}, required=keys[:1])


def _check_headers(entry: Entry) -> None:
    value = entry.value
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        entry.complain("must be an object of strings")  # and without what they are, which may be a secret
    else:
        _complain_of_setting(entry, check_headers)


def _check_command(entry: Entry) -> None:
    check_each(check_text(0, LONGEST))(entry)
    entry.expect(entry.value not in ([], [""]), "be a program and its arguments")


def _check_setting(use: Callable[[str], object]) -> Check:
    """Return the check for a string that a sink can be set to."""

    def check(entry: Entry) -> None:
        before = len(entry.problems)
        check_text(1, LONGEST)(entry)
        if len(entry.problems) == before:
            _complain_of_setting(entry, use)

    return check


def _complain_of_setting(entry: Entry, use: Callable[[Any], object]) -> None:
    try:
        use(entry.value)
    except AlertSettingError as error:
        entry.complain(f"cannot be used: {error}")


def _check_host(entry: Entry) -> None:
    entry.expect(isinstance(entry.value, str) and is_host(entry.value), "be a host name or an address")


def _check_topic(entry: Entry) -> None:
    value = entry.value
    if value is None:  # the same as no topic
        return
    is_right = isinstance(value, str) and value.split("/").count(THING_NAME) == 1 and not set(value) & set("+#\0")
    entry.expect(is_right, f"be a topic with {THING_NAME} as one of its levels, and without + and #")


def _check_path(entry: Entry) -> None:
    before = len(entry.problems)
    check_text(1, LONGEST)(entry)
    if len(entry.problems) == before:
        entry.expect("\0" not in entry.value and _has_home(entry.value), "be a path")


def _has_home(path: str) -> bool:
    try:
        Path(path).expanduser()
    except RuntimeError:  # ~user, and there is no such user
        return False
    return True


def _check_port(entry: Entry) -> None:
    value = entry.value
    entry.expect(type(value) is int and 0 <= value <= 65535, "be a whole number from 0 to 65535")


def _check_whole(least: int, most: int) -> Check:
    def check(entry: Entry) -> None:
        is_right = type(entry.value) is int and least <= entry.value <= most
        entry.expect(is_right, f"be a whole number from {least} to {most}")

    return check


def _check_number(least: float, most: float) -> Check:
    def check(entry: Entry) -> None:
        value = entry.value
        is_right = type(value) in (int, float) and least <= value <= most
        entry.expect(is_right, f"be a number from {least:g} to {most:.0f}")

    return check


def _with_paths(values: Raw, directory: Path) -> Raw:
    """Return the values as `Config` has them; relative paths start at the file's directory."""
    values = {key: value for key, value in values.items() if value is not None}
    for key in (*FILES, "revoked", "state_directory", "thing_groups"):
        if key in values:
            values[key] = _absolute(values[key], directory)
    values["profiles"] = tuple(_profile_source(each, directory) for each in values.get("profiles", ()))
    values["alerts"] = tuple(values.get("alerts", ()))
    return values


def _profile_source(value: Any, directory: Path) -> ProfileSource:
    if isinstance(value, str):
        return ProfileSource(_absolute(value, directory))
    return ProfileSource(_absolute(value["path"], directory), frozenset(value.get("targets", [ALL_THINGS])))


def _absolute(path: str, directory: Path) -> Path:
    return directory / Path(path).expanduser()

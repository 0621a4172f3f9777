"""The configuration file: JSON as it is written, with its paths made absolute, and as its definition has it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from defender_daemon import PROGRAM_DIRECTORY
from defender_daemon.config import Agent, Config, Raw
from defender_daemon.errors import ConfigError
from device_defender.definition import with_absolute_paths
from device_defender.wording import shown

DEFAULT_STATE_DIRECTORY = PROGRAM_DIRECTORY + "/state"
COGNITO = tuple(  # the CloudWatch publisher's keys
    f"agent.authentication.{key} is not"
    for key in ("accountId", "userPoolId", "identityPoolId", "appClientId", "password")
)
INSTEAD_OF_COGNITO = (
    "agent.authentication must name the device's certificate instead of a Cognito user and its password: certificate, "
    "private_key, and credentials with endpoint and role_alias"
)


def read_json(path: Path) -> Raw:
    """Return the JSON object in the file; raises ConfigError with line and column, or with what the system said."""
    try:
        text = path.read_text("utf-8-sig")
        raw: Raw = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise ConfigError(["there is no such configuration file; name one, or copy one from configs/"]) from error
    except OSError as error:
        raise ConfigError([f"the configuration cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"the configuration must be UTF-8 text, but byte {error.start} is not"]) from error
    except json.JSONDecodeError as error:
        raise ConfigError([f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}"]) from error
    except ValueError as error:  # a number of thousands of digits
        raise ConfigError([f"not a configuration: {error}"]) from error
    except RecursionError as error:
        raise ConfigError(["not a configuration: nested too deeply"]) from error
    if "\\u" in text:  # without which no text has anything in it that a file of UTF-8 has not
        from device_defender.validation import odd_text

        problems = list(odd_text(raw))
        if problems:
            raise ConfigError(problems)
    return raw


def _unique(pairs: list[tuple[str, Any]]) -> Raw:
    twice = sorted({key for key, _ in pairs if [name for name, _ in pairs].count(key) > 1})
    if twice:
        raise ConfigError([f'"{key}" is given twice in one object; keep one' for key in twice])
    return dict(pairs)


def _refuse_constant(name: str) -> NoReturn:
    raise ConfigError([f"{name} is not JSON; give a number"])


def resolved(raw: Any, directory: Path) -> Any:
    """Return a configuration with absolute paths: `~` expanded, relative ones taken from `directory`."""
    return with_absolute_paths(raw, Config, lambda path: _absolute(path, directory))


def _absolute(path: str, directory: Path) -> str:
    try:
        return os.path.abspath(directory / Path(path).expanduser())
    except RuntimeError as error:
        raise ConfigError(
            [f"the path {shown(path)} begins with a user who does not exist; give the directory"]
        ) from error


def state_directory(agent: Agent, environment: Mapping[str, str]) -> str:
    """Return where state is kept: as configured, as systemd says (it lists all, ours first), or beside the program."""
    return agent.state_directory or environment.get("STATE_DIRECTORY", "").split(":")[0] or DEFAULT_STATE_DIRECTORY


def converted(raw: Any) -> Config:
    """Return a configuration as its definition has it; raises ConfigError with everything that departs from it."""
    try:
        return msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        from device_defender.validation import find_problems  # here: a valid configuration does without it

        problems = [_without_password(each) for each in find_problems(raw, Config, name="the configuration")]
        raise ConfigError(list(_without_cognito(problems)) or [str(error)]) from error


def _without_cognito(problems: Iterable[str]) -> Iterator[str]:
    """Say once, for all the CloudWatch publisher's keys of Cognito, what takes their place."""
    others = [each for each in problems if not each.startswith(COGNITO)]
    if len(others) < len(list(problems)):
        yield INSTEAD_OF_COGNITO
    yield from others


def _without_password(problem: str) -> str:
    """Return a problem without the value that was found, where that may be a password, or a URL with one in it."""
    key = problem.partition(" must ")[0]
    return problem.partition(", got ")[0] if key == "agent.proxy" or key.startswith("agent.proxy.") else problem

"""The configuration as JSON has it: its sections, and whether it holds a password."""

from __future__ import annotations

import argparse
import json
from typing import Any

from files import read_file
from problem import Problem

CONFIG = "amazon-defender-publisher.json"


def parse(content: bytes, where: str) -> dict[str, Any]:
    """Return a configuration as the object it is; raises Problem for what is none."""
    try:
        config = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Problem(f"{where} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise Problem(f"{where} must be a JSON object")
    compose(config, where)
    return config


def compose(config: dict[str, Any], where: str = CONFIG) -> bytes:
    """Return a configuration as a file holds it; raises Problem for half a surrogate, which no file can hold."""
    try:
        return (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start].encode("ascii", "backslashreplace").decode()
        raise Problem(f"{where} must be text, but {half} in it is half a character") from error


def section(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a section of a configuration, which is made if it is not there."""
    found = config.setdefault(name, {})
    if not isinstance(found, dict):
        raise Problem(f"{name} must be a JSON object, in the configuration")
    return found


def is_secret(arguments: argparse.Namespace) -> None:
    """Fail unless a configuration holds a password, which others than the service must not read."""
    if not holds_password(read_file(arguments.config)):
        raise Problem(f"{arguments.config} holds no password")


def makes_name_by_command(config: dict[str, Any]) -> bool:
    """Whether a command makes the thing's name, which is for the service to run and not for root."""
    agent = section(config, "agent")
    instance = section(agent, "instance")
    return not agent.get("thing_name") and not instance.get("serial") and bool(instance.get("command"))


def holds_password(config: bytes) -> bool:
    """Whether a configuration has a password for the proxy in it."""
    return "password" in section(section(parse(config, CONFIG), "agent"), "proxy")

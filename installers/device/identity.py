"""Identity: who the device is and where it reports, as options, an earlier configuration or a person say."""

from __future__ import annotations

import argparse
import os
import pwd
import subprocess
import sys
from typing import Any

from configuration import CONFIG, parse, section
from problem import Problem

PLACEHOLDER = "REPLACE"  # what an example's endpoint begins with
COMMAND_TIMEOUT = 30  # seconds for the command that makes the thing's name, as the program allows it
NOBODY = "nobody"  # who runs the example's command where root installs
SHELL = "/bin/sh"


def take_identity(config: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Give a configuration the identity of another one: who the device is, and where it reports."""
    if other:
        agent, there = section(config, "agent"), section(other, "agent")
        for key in ("thing_name", "instance", "client_id", "authentication", "provisioning", "proxy"):
            agent.pop(key, None)
            if key in there:
                agent[key] = there[key]
    return config


def take_name(config: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Give a configuration the thing's name of another one, which a template may have made."""
    agent, there = section(config, "agent"), section(other, "agent")
    for key in ("thing_name", "instance"):
        if key in there:
            agent[key] = there[key]  # where it is, so that the same file comes of it
        else:
            agent.pop(key, None)
    return config


def answer(
    arguments: argparse.Namespace, agent: dict[str, Any], authentication: dict[str, Any], carried_in: bool
) -> None:
    """Fill in what the options say, and ask for what nobody has said yet, if there is somebody to ask.

    `carried_in` is false for the identity of our own example.
    """
    if authentication.get("method", "certificate") != "certificate":
        raise Problem("agent.authentication.method must be certificate: the service keeps no AWS credentials")
    if PLACEHOLDER in str(authentication.get("endpoint", PLACEHOLDER)):
        authentication.pop("endpoint", None)
    if arguments.endpoint:
        authentication["endpoint"] = arguments.endpoint
    if arguments.port:
        authentication["port"] = arguments.port
    if arguments.thing_name:
        agent["thing_name"] = arguments.thing_name
        agent.pop("instance", None)
    if arguments.serial:
        section(agent, "instance")["serial"] = arguments.serial
        agent.pop("thing_name", None)
    if "endpoint" not in authentication:
        asked = ask(arguments, "--endpoint HOST", "the account's endpoint (aws iot describe-endpoint "
                    "--endpoint-type iot:Data-ATS)")  # fmt: skip
        authentication["endpoint"] = asked
    if "thing_name" not in agent and not names_thing(agent.get("instance"), carried_in):
        agent["thing_name"] = ask(arguments, "--thing-name NAME", "the name of this thing")
        agent.pop("instance", None)


def ask(arguments: argparse.Namespace, option: str, what: str) -> str:
    """Return what a person types; raises Problem where there is nobody."""
    if not (arguments.ask and sys.stdin.isatty()):
        raise Problem(f"missing: {option}; or everything at once by --bundle FILE", 2)
    print(f"{what}: ", end="", file=sys.stderr, flush=True)
    typed = sys.stdin.readline().strip()
    if not typed:
        raise Problem(f"missing: {option}", 2)
    return typed


def names_thing(instance: Any, carried_in: bool) -> bool:
    """Return whether `agent.instance` makes a thing name on this device.

    A command that was carried in is not tried: it is the service's to run, as the user that the service has.
    """
    if not isinstance(instance, dict):
        return False
    if instance.get("serial") or not isinstance(instance.get("command"), str):
        return bool(instance.get("serial"))
    return carried_in or prints_serial(instance["command"])


def prints_serial(command: str) -> bool:
    """Return whether the example's command prints a serial number on this device."""
    try:
        done = subprocess.run(
            [SHELL, "-c", command], check=False, capture_output=True, timeout=COMMAND_TIMEOUT, cwd="/",
            stdin=subprocess.DEVNULL, **lesser_user(),
        )  # fmt: skip
    except (subprocess.TimeoutExpired, OSError):
        return False
    return done.returncode == 0 and bool(done.stdout.strip())


def lesser_user() -> dict[str, Any]:
    """Return as whom root runs a command that it need not run itself: nobody, in no other group."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam(NOBODY)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def identity_of(files: dict[str, bytes]) -> tuple[str, str]:
    """Return the thing's name, or how it is made, and the endpoint."""
    agent = section(parse(files[CONFIG], CONFIG), "agent")
    name = agent.get("thing_name") or f"{section(agent, 'instance').get('prefix', 'sys')}-(serial number)"
    return str(name), str(section(agent, "authentication").get("endpoint"))

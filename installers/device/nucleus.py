"""The Greengrass nucleus of this machine, in whose way an ordinary service would be: each would disconnect the other.

It is found by the program's own module, which needs the standard library only.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from configuration import CONFIG, parse, section
from problem import Problem
from verdict import AWS

sys.path.append(str(Path(__file__).resolve().parent.parent.parent))
from defender_daemon.nucleus import Nucleus, find_nucleus  # noqa: E402 - found there

COMPONENT = "the Greengrass component (docs/how-to/run-on-greengrass.md)"


def look_for_nucleus(files: dict[str, bytes], root: Path, allowed: bool) -> str:
    """Return what is to be said of a nucleus, empty for nothing; raises Problem where it would be disconnected.

    `files` are those of etc, and `allowed` is whether that was asked for, or is so already.
    """
    nucleus = find_nucleus(root)
    agent = section(parse(files[CONFIG], CONFIG), "agent")
    client_id = client_id_of(agent)
    if nucleus is None:
        return ""
    if client_id is None or nucleus.thing_name is None:
        ours = client_id or "the name that a command makes here"
        return (
            f"there is a {nucleus}, as {nucleus.thing_name or 'a thing whose name cannot be read'}; this service must "
            f"not report as the same thing ({ours}), because AWS IoT would disconnect one for the other"
        )
    if client_id != nucleus.thing_name:
        return beside(nucleus, client_id) if nucleus.serves else ""
    said = f"there is a {nucleus} with the same client ID, {client_id}"
    if not nucleus.serves:
        return f"{said}, which is not enabled; once it runs, it and this service disconnect each other"
    if not str(section(agent, "authentication").get("endpoint")).endswith(AWS):
        return f"{said}; at AWS IoT, which this service does not report to"
    both = f"{said}: it and this service would disconnect each other from AWS IoT, again and again"
    if allowed:
        return f"{both}; use {COMPONENT} instead"
    raise Problem(f"{both}; install {COMPONENT} instead, or give --beside-greengrass to do it all the same")


def beside(nucleus: Nucleus, client_id: str) -> str:
    """Return what is said of a nucleus that is another thing."""
    return (
        f"there is a {nucleus}, as {nucleus.thing_name}; this service reports as {client_id}. To report as the core, "
        f"use {COMPONENT}"
    )


def client_id_of(agent: dict[str, Any]) -> str | None:
    """Return the client ID that a configuration connects with, None where a command makes it."""
    named = agent.get("client_id") or agent.get("thing_name")
    instance = section(agent, "instance")
    if named or not instance.get("serial"):
        return str(named) if named else None
    return f"{instance.get('prefix', 'sys')}-{instance['serial']}".lower()

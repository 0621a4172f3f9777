"""A claim: what lets a device that has no certificate ask for one of its own, and whether this device is such a one."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from configuration import CONFIG, parse, section
from credentials import CERTIFICATE, CLAIM_CERTIFICATE, CLAIM_KEY, CLAIM_PATHS, KEY, PATHS
from etc import IDENTITIES, IDENTITY
from files import read_file
from problem import Problem

PAIR, CLAIM_PAIR = {CERTIFICATE, KEY}, {CLAIM_CERTIFICATE, CLAIM_KEY}
IMAGES_OWN = (IDENTITIES, IDENTITY, *(f"{name}{end}" for name in (KEY, CERTIFICATE) for end in ("", ".old", ".new")))


def waits_for_identity(etc: Path) -> bool:
    """Whether an earlier installation left a claim in etc, and there is no certificate with its key yet."""
    return (etc / CLAIM_KEY).exists() and not all((etc / name).exists() for name in PAIR)


def is_by_claim(arguments: argparse.Namespace) -> bool:
    """Whether the device gets its certificate by a claim: one that is given, or that of an installation before."""
    given = any((arguments.bundle, arguments.config, arguments.certificate, arguments.private_key))
    return bool(arguments.claim) or (not given and waits_for_identity(arguments.etc))


def prepare(config: dict[str, Any], arguments: argparse.Namespace) -> bool:
    """Complete a claim's configuration by the names of its files and by how a device is named here.

    Return whether a command that makes the name is not to be tried: it was carried in, or is another device's.
    Raises Problem for what no device can be made of.
    """
    agent = section(config, "agent")
    provisioning, instance = section(agent, "provisioning"), dict(agent.get("instance") or {})
    if not provisioning.get("template"):
        where = arguments.claim or arguments.etc / CONFIG
        raise Problem(f"{where}: {CONFIG} must name the template to be provisioned by, as agent.provisioning.template")
    provisioning.update(CLAIM_PATHS)
    section(agent, "authentication").update({key: name for key, name in PATHS.items() if name in PAIR})
    if arguments.first_boot:
        refuse_image(agent, instance, arguments.etc)
    if agent.get("thing_name") or instance.get("serial") or instance.get("command"):
        return True
    example = section(parse(read_file(arguments.template), str(arguments.template)), "agent")
    agent["instance"] = {**section(example, "instance"), **instance}
    return bool(arguments.first_boot)


def refuse_image(agent: dict[str, Any], instance: dict[str, Any], etc: Path) -> None:
    """Raise Problem for an image that is a thing already, which each device made of it would be, too."""
    there = [name for name in IMAGES_OWN if os.path.lexists(etc / name)]
    if there:
        raise Problem(
            f"an image must have no identity, but {', '.join(there)} is in {etc}, and each device made of the image "
            f"would be that thing; remove it first, by the uninstaller with --purge"
        )
    named = {"agent.thing_name": agent.get("thing_name"), "agent.instance.serial": instance.get("serial")}
    for key, value in named.items():
        if value:
            raise Problem(
                f"an image must leave each device a name of its own, but {key} is {value}; leave it out, and let "
                f"agent.instance.command print the serial number"
            )

"""What a deployer does next: commands that bring each thing's file to its device and install it there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from infrastructure.handover import Handover
from infrastructure.screen import Screen

MOST_COMMANDS = 10  # devices whose commands are printed; for more than that somebody has a script
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # a thing's name that may well be its device's, too
SOFTWARE = "amazon-defender-publisher-*"  # what a release unpacks to, and its tar


def show_handover(screen: Screen, handover: Handover, rotated: Sequence[str]) -> None:
    """Show how to install what was made, and for which things there is nothing here."""
    screen.say_names("no bundle", handover.elsewhere, "their keys are on another machine; --rotate makes new ones here")
    if not handover.written:
        return
    screen.say("\nFrom here, for each device (put its address for its name if that is another one):\n")
    for bundle in handover.written[:MOST_COMMANDS]:
        for command in commands(bundle, rotated):
            screen.say(f"  {command}")
    left = len(handover.written) - MOST_COMMANDS
    if left > 0:
        screen.say(f"\nand so on for {left} more in {handover.written[0].parent}.")
    screen.say(f"\nThe device has the software in ~/{SOFTWARE}: `make dist` builds it, and `tar -xf` unpacks it there.")
    screen.say("On a Mac it is installers/install-osx.bash. A bundle holds a private key: keep it as one.")
    screen.say("A device that has an earlier bundle takes a new one with --replace.")
    if rotated:
        screen.say(f"Cut off until this is done: {', '.join(rotated)}")


def commands(bundle: Path, rotated: Collection[str]) -> list[str]:
    """Return what brings a bundle to its device, and what installs it there and removes the copy with the key."""
    thing, there = bundle.stem, shlex.quote(bundle.name)
    device = thing if HOST.fullmatch(thing) else "DEVICE"
    replace = " --replace" if thing in rotated else ""
    install = f"cd {SOFTWARE} && sudo installers/install-rpi.bash --bundle ~/{there}{replace} && rm ~/{there}"
    return [f"scp {shlex.quote(str(bundle))} {device}:", f"ssh -t {device} {shlex.quote(install)}"]

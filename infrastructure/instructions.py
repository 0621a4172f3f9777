"""What a deployer does next: commands, from here, that bring each thing's file to its device and install it there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from infrastructure.handover import Handover
from infrastructure.screen import Screen

CHECKOUT = Path(__file__).resolve().parent.parent
MOST_COMMANDS = 10  # devices whose commands are printed; for more than that somebody has a script
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # a thing's name that may well be its device's, too
SOFTWARE = "amazon-defender-publisher-*"  # what a release unpacks to
KIT_BUILDER = "release.kit"  # makes one file of the software, its packages and a bundle


def show_handover(
    screen: Screen, handover: Handover, rotated: Sequence[str], kits: bool | None = None, cloudwatch: bool = False
) -> None:
    """Show how to install what was made, and for which things there is nothing here.

    `kits` tells whether a bundle can be made a file that installs itself; None looks. `cloudwatch` is whether devices
    are to send to CloudWatch.
    """
    screen.say_names("no bundle", handover.elsewhere, "their keys are on another machine; --rotate makes new ones here")
    if not handover.written:
        return
    kits = find_spec(KIT_BUILDER) is not None if kits is None else kits
    screen.say("\nNext, for each device (write its address for its name where that is another one):\n")
    for bundle in handover.written[:MOST_COMMANDS]:
        for command in kit_commands(bundle, cloudwatch) if kits else bundle_commands(bundle, cloudwatch):
            screen.say(f"  {command}")
    if (left := len(handover.written) - MOST_COMMANDS) > 0:
        screen.say(f"\nand so on for {left} more in {handover.written[0].parent}.")
    for note in _notes(kits, rotated):
        screen.say(note)


def kit_commands(bundle: Path, cloudwatch: bool = False) -> list[str]:
    """Return what makes a file of a bundle that installs itself, brings it to its device, and runs it there."""
    kit = bundle.with_name(f"install-{bundle.stem}.bash")
    there = shlex.quote(kit.name)
    install = f"sudo bash {there}{_option(cloudwatch)} && rm {there}"  # it holds the private key
    return [make_kit(bundle), *_carry(kit, bundle, install)]


def bundle_commands(bundle: Path, cloudwatch: bool = False) -> list[str]:
    """Return what brings a bundle to its device, and installs it there where the software is."""
    there = shlex.quote(bundle.name)
    install = f"sudo installers/install-rpi.bash --bundle ~/{there}{_option(cloudwatch)}"
    return _carry(bundle, bundle, f"cd {SOFTWARE} && {install} && rm ~/{there}")


def _option(cloudwatch: bool) -> str:
    return " --cloudwatch" if cloudwatch else ""  # the second service, which sends there


def make_kit(bundle: Path) -> str:
    """Return the command that makes the kit: here in the checkout, or from wherever this is."""
    if Path.cwd() == CHECKOUT:
        return f"make kit BUNDLES={shlex.quote(str(bundle))}"
    return f"make -C {shlex.quote(str(CHECKOUT))} kit BUNDLES={shlex.quote(str(bundle.absolute()))}"


def _carry(file: Path, bundle: Path, install: str) -> list[str]:
    device = bundle.stem if HOST.fullmatch(bundle.stem) else "DEVICE"
    return [f"scp {shlex.quote(str(file))} {device}:", f"ssh -t {device} {shlex.quote(install)}"]


def _notes(kits: bool, rotated: Sequence[str]) -> Iterator[str]:
    yield ""
    if not kits:
        yield f"The device has the software in ~/{SOFTWARE}: `make dist` builds it, and `tar -xf` unpacks it there."
        yield "On a Mac it is installers/install-osx.bash."
    yield "These files hold private keys: keep them as such."
    if rotated:
        yield f"Cut off until this is done: {', '.join(rotated)}"

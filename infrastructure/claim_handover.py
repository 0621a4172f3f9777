"""The claim's bundle: what every device that provisions itself comes with, and the certificate in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from infrastructure.account import found
from infrastructure.bundles import CLAIM, CLAIM_KEYS, write_claim
from infrastructure.claim import deployed_request, is_deployed
from infrastructure.claim_drift import OUTPUT
from infrastructure.fleet import Fleet
from infrastructure.instructions import KIT_BUILDER, make_kit
from infrastructure.keys import KeyStore
from infrastructure.private_file import read_file, remove_file
from infrastructure.screen import Screen


@dataclass(frozen=True)
class ClaimHandover:
    """What there is for devices that provision themselves."""

    bundle: Path | None = None  # where it was written, None where it is there already like that, or there is none
    removed: Path | None = None  # one whose certificate is no longer in force
    elsewhere: bool = False  # the key is on another machine


def hand_over_claim(fleet: Fleet, store: KeyStore, device_config: Mapping[str, Any], roots: Path) -> ClaimHandover:
    """Write DIR/claim.tar if the claim's key is here; remove one whose certificate is no longer in force."""
    if not is_deployed(fleet):
        return ClaimHandover()
    path, request = store.directory / f"{CLAIM}.tar", deployed_request(fleet)
    if request is None:
        gone = read_file(path) is not None
        if gone:
            remove_file(path)
        return ClaimHandover(removed=path if gone else None)
    certificate = fleet.deployed.stacks[fleet.names.claim_stack].outputs.get(OUTPUT, "")
    if not store.settled(CLAIM_KEYS, certificate):
        answer = found(fleet.account.iot.describe_certificate, certificateId=certificate)
        if answer is None:
            return ClaimHandover()  # which is drift, and told
        if not store.settle(CLAIM_KEYS, answer["certificateDescription"]["certificatePem"], request):
            return ClaimHandover(elsewhere=True)
    return ClaimHandover(write_claim(store, fleet.names, fleet.account.endpoint, device_config, roots))


def show_claim_handover(screen: Screen, handover: ClaimHandover) -> None:
    """Show what to do with the claim."""
    if handover.elsewhere:
        screen.say(f"no {CLAIM}.tar: its key is on another machine; --end-claims, then --claim makes a new one here")
    if handover.removed is not None:
        screen.say(f"{handover.removed} was removed: its certificate is no longer in force")
    if handover.bundle is not None:
        if find_spec(KIT_BUILDER) is not None:
            screen.say("\nNext, make one file of the software and the claim, and run it on each device:\n")
            screen.say(f"  {make_kit(handover.bundle)}")
            screen.say(f"  sudo bash install-{CLAIM}.bash")
        screen.say("\nWhere a device has the software, or, with --first-boot, once in the image for all of them:\n")
        screen.say(f"  sudo installers/install-rpi.bash --claim {handover.bundle.name}")
        screen.say(f"\n{handover.bundle} holds the claim's private key: keep it as such, and end it with --end-claims.")

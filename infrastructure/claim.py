"""What happens to the claim: who may provision itself, by which certificate, and who has."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrastructure.bundles import CLAIM, CLAIM_KEYS
from infrastructure.claim_drift import drift_of_claim
from infrastructure.description import ClaimStack
from infrastructure.errors import DeployError
from infrastructure.fleet import Fleet
from infrastructure.keys import KeyStore
from infrastructure.plan import StackPlan, change_of
from infrastructure.registry import Registry
from infrastructure.serial_table import Difference, Listed, Table, compare, read_table
from infrastructure.serials import Serial, SerialList, read_serials

CERTIFICATE = "AWS::IoT::Certificate"
# Of agent.instance, where the configuration does not say it: the installers' on a Mac and on a Pi, and the publisher's.
USUAL_PREFIXES = ("osx", "rpi", "sys")


@dataclass(frozen=True)
class ClaimAsked:
    """What a deployer asks for."""

    serials: SerialList | None = None  # None leaves them as they are deployed
    end: bool = False  # the claim certificate is deleted, all else stays


@dataclass(frozen=True)
class ClaimPlan:
    """What happens to the claim."""

    stack: StackPlan
    request: str | None  # of the certificate that is deployed and stays
    new_certificate: bool  # one is made, of a key that is made
    ends: bool  # the certificate that is deployed is deleted
    name_prefixes: tuple[str, ...]
    difference: Difference
    table: Table
    provisioned: tuple[Listed, ...]  # who has, the last one first
    asked: ClaimAsked | None
    drift: tuple[DeployError, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return self.stack.changes or self.difference.changes

    @property
    def in_force(self) -> bool:
        """Whether devices can provision themselves afterwards."""
        return self.new_certificate or self.request is not None

    def describe(self, fleet: Fleet, store: KeyStore) -> ClaimStack:
        """Return what is to be in the stack; a key that is needed is made."""
        request = store.renew(CLAIM_KEYS) if self.new_certificate else self.request
        return ClaimStack(fleet.names, request, self.name_prefixes)


def read_claim_asked(claim: bool, serials: Path | None, end: bool) -> ClaimAsked | None:
    """Return what the options ask for, None for nothing; raise DeployError for options that contradict each other."""
    if end and (claim or serials is not None):
        raise DeployError("give --claim or --end-claims, not both")
    if serials is not None and not claim:
        raise DeployError("--serials needs --claim: it lists who may provision itself")
    if claim:
        return ClaimAsked(read_serials(serials) if serials is not None else None)
    return ClaimAsked(end=True) if end else None


def is_deployed(fleet: Fleet) -> bool:
    """Tell whether the fleet has what lets devices provision themselves and rotate."""
    stack = fleet.deployed.stack(fleet.names.claim_stack)
    return stack is not None and stack.exists


def plan_claim(
    fleet: Fleet,
    asked: ClaimAsked | None,
    things: Collection[str],
    device_config: Mapping[str, Any],
    registry: Registry,
) -> ClaimPlan | None:
    """Return what happens to the claim, None where there is none and none is to be.

    Raises DeployError where it is not known who may provision itself, and for one that is a thing of the list as well.
    """
    _refuse(fleet, asked, things)
    if asked is None and fleet.names.claim_stack not in fleet.deployed.stacks:
        return None
    request = deployed_request(fleet)
    wanted = asked is not None and not asked.end
    new = request is None and wanted
    stays = None if asked is not None and asked.end else request
    prefix = device_config.get("agent", {}).get("instance", {}).get("prefix")
    prefixes = (str(prefix),) if prefix is not None else USUAL_PREFIXES
    name, known = fleet.names.claim_stack, ClaimStack(fleet.names, stays, prefixes)
    table = read_table(fleet.account, fleet.names.serials_table) if is_deployed(fleet) else Table({})
    serials = asked.serials.serials if asked is not None and asked.serials is not None else None
    return ClaimPlan(
        stack=StackPlan(name, change_of(fleet.deployed, name, None if new else known.digest)),
        request=stays,
        new_certificate=new,
        ends=request is not None and stays is None,
        name_prefixes=prefixes,
        difference=compare(table, serials) if serials is not None else Difference(),
        table=table,
        provisioned=who_provisioned(table, registry),
        asked=asked,
        drift=tuple(drift_of_claim(fleet, registry, table)),
        notes=tuple(_notes(asked, device_config)),
    )


def deployed_request(fleet: Fleet) -> str | None:
    """Return the request (PEM) of the claim certificate that is in force, None where there is none."""
    stack = fleet.deployed.stack(fleet.names.claim_stack)
    found = stack.resources(CERTIFICATE).values() if stack is not None else ()
    return next((str(each["CertificateSigningRequest"]) for each in found), None)


def who_provisioned(table: Table, registry: Registry) -> tuple[Listed, ...]:
    """Return the serials whose things are in the fleet's group, the last one first."""
    done = [each for each in table.listed.values() if each.thing in registry.members]
    return tuple(sorted(done, key=lambda each: (-each.at, each.thing)))


def provisioned_things(fleet: Fleet, registry: Registry) -> frozenset[str]:
    """Return the things of the fleet's group that no stack made: they provisioned themselves."""
    return registry.members - set(fleet.deployed.things) if is_deployed(fleet) else frozenset()


def refuse_lost_serials(plan: ClaimPlan | None, most: int | None) -> None:
    """Raise DeployError if more than a tenth of the serials is no longer listed, since the list may have been cut."""
    if plan is None:
        return
    gone, before = len(plan.difference.gone), len(plan.table.listed)
    most = max(1, before // 10) if most is None else most
    if gone > most:
        raise DeployError(
            f"{gone} of {before} serials are no longer listed, and without being asked this takes away at most {most}: "
            f"look whether the list is whole; if it is, give --delete-at-most {gone}"
        )


def _refuse(fleet: Fleet, asked: ClaimAsked | None, things: Collection[str]) -> None:
    deployed = is_deployed(fleet)
    if asked is not None and asked.end and not deployed:
        raise DeployError("--end-claims: no device of this fleet can provision itself, so there is nothing to end")
    if asked is not None and not asked.end and asked.serials is None and not deployed:
        raise DeployError(
            "--claim: which devices may provision themselves? Write their serials, one per line, into a file, and "
            "name it with --serials FILE"
        )
    if (asked is not None or deployed) and (same := [thing for thing in things if thing.lower() == CLAIM]):
        raise DeployError(
            f"no thing can be called {same[0]} in a fleet whose devices provision themselves: its bundle would be "
            f"{CLAIM}.tar, which is the claim"
        )
    if asked is not None and asked.serials is not None:
        _refuse_listed_things(asked.serials, things)


def _refuse_listed_things(serials: SerialList, things: Collection[str]) -> None:
    known = {thing.lower(): thing for thing in things}
    names: Sequence[Serial] = [each for each in serials.serials if (each.thing or each.serial).lower() in known]
    if names:
        thing = known[(names[0].thing or names[0].serial).lower()]
        raise DeployError(
            f"{serials.source}: {thing} is in the list of things as well, whose key is made here: take it out of one "
            "of the two"
        )


def _notes(asked: ClaimAsked | None, device_config: Mapping[str, Any]) -> Sequence[str]:
    """Return what may surprise."""
    notes = list(asked.serials.notes) if asked is not None and asked.serials is not None else []
    agent = device_config.get("agent", {})
    instance = agent.get("instance", {})
    if asked is None or asked.end:
        return notes
    if "thing_name" in agent:
        notes.append(f"the devices' configuration calls every device {agent['thing_name']} (agent.thing_name)")
    elif not ("serial" in instance or "command" in instance):
        notes.append(
            "the devices' configuration has no agent.instance.command that prints a serial: the installers take that "
            "of a Raspberry Pi (as rpi-SERIAL) or of a Mac (as osx-SERIAL)"
        )
    return notes

"""What is to be done to provision the account from things.txt; shown before it is done."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from infrastructure.deployed import TO_BE_REMOVED, Deployed
from infrastructure.description import FleetStack, ThingsStack
from infrastructure.errors import DeployError
from infrastructure.fleet import Fleet
from infrastructure.placement import place

CREATE, RECREATE, UPDATE, KEEP, DELETE = "create", "recreate", "update", "keep", "delete"


@dataclass(frozen=True)
class StackPlan:
    """What happens to a stack."""

    name: str
    change: str  # CREATE, RECREATE (what failed to create is deleted first), UPDATE, KEEP or DELETE

    @property
    def changes(self) -> bool:
        """Whether anything happens to it."""
        return self.change != KEEP


@dataclass(frozen=True)
class ThingsPlan(StackPlan):
    """What happens to a stack of things."""

    number: int
    things: tuple[str, ...]  # what it holds afterwards


@dataclass(frozen=True)
class Plan:
    """What happens to the fleet; Detect is planned apart."""

    fleet: StackPlan
    stacks: tuple[ThingsPlan, ...]  # by number
    new: tuple[str, ...]  # thing names, in the order of things.txt
    kept: tuple[str, ...]  # those that are rotated included
    rotated: tuple[str, ...]
    gone: tuple[str, ...]  # no longer listed
    cloudwatch: bool = False  # whether devices are to be let send to CloudWatch

    @property
    def changes(self) -> bool:
        """Whether any stack is touched."""
        return self.fleet.changes or any(stack.changes for stack in self.stacks)


def make_plan(fleet: Fleet, wanted: Sequence[str], rotate: Collection[str] = (), cloudwatch: bool = False) -> Plan:
    """Return what is to be done; DeployError for a thing to rotate that is not deployed or not listed."""
    names, deployed = fleet.names, fleet.deployed
    _refuse_to_rotate(sorted(set(rotate) - set(wanted)), "is not listed")
    _refuse_to_rotate(sorted(set(rotate) - set(deployed.things)), "is not deployed yet")
    gone = tuple(sorted(set(deployed.things) - set(wanted)))
    shared = FleetStack(names, cloudwatch)
    return Plan(
        fleet=StackPlan(shared.stack_name, change_of(deployed, shared.stack_name, shared.digest)),
        stacks=tuple(_plan_things(fleet, wanted, rotate)),
        new=tuple(thing for thing in wanted if thing not in deployed.things),
        kept=tuple(thing for thing in wanted if thing in deployed.things),
        rotated=tuple(thing for thing in wanted if thing in rotate),
        gone=gone,
        cloudwatch=cloudwatch,
    )


def refuse_mass_deletion(plan: Plan, deployed: Deployed, most: int | None) -> None:
    """Raise DeployError if more things would be deleted than may be, since the list may have been cut short.

    `most` None is a tenth of those that are deployed, and one in a small fleet.
    """
    most = max(1, len(deployed.things) // 10) if most is None else most
    if len(plan.gone) > most:
        raise DeployError(
            f"{len(plan.gone)} of {len(deployed.things)} things are no longer listed, and without being asked this "
            f"deletes at most {most}: look whether the list is whole; if it is, give --delete-at-most {len(plan.gone)}"
        )


def find_rotated(plan: Plan, before: Deployed, after: Deployed) -> list[str]:
    """Return the things that have another certificate now; a rotation that failed leaves the old one."""
    return [thing for thing in plan.rotated if after.things.get(thing) != before.things[thing]]


def change_of(deployed: Deployed, name: str, digest: str | None) -> str:
    """Return what happens to a stack that is to have a digest; None is one that no deployed stack can have.

    DeployError for one whose deletion failed: what its template says is not there any more, and nothing can be added.
    """
    stack = deployed.stack(name)
    if stack is None or not stack.exists:
        return RECREATE if stack is not None and stack.status in TO_BE_REMOVED else CREATE
    if stack.status == "DELETE_FAILED":
        raise DeployError(
            f"the stack {name} is half deleted ({stack.reason or stack.status}): delete the rest with `aws "
            f"cloudformation delete-stack --stack-name {name}`, then run this again"
        )
    return KEEP if stack.digest == digest else UPDATE


def _plan_things(fleet: Fleet, wanted: Sequence[str], rotate: Collection[str]) -> Sequence[ThingsPlan]:
    before = {thing.name: thing.stack for thing in fleet.deployed.things.values()}
    after = place(wanted, before)
    failed = [number for name in fleet.deployed.stacks if (number := fleet.names.things_stack_number(name)) is not None]
    numbers = sorted({*before.values(), *after.values(), *failed})
    by_number: Mapping[int, list[str]] = {number: [] for number in numbers}
    for thing, number in after.items():
        by_number[number].append(thing)
    return [_plan_stack(fleet, number, by_number[number], rotate) for number in numbers]


def _plan_stack(fleet: Fleet, number: int, things: Sequence[str], rotate: Collection[str]) -> ThingsPlan:
    names, deployed = fleet.names, fleet.deployed
    name = names.things_stack(number)
    if not things:
        return ThingsPlan(name, DELETE, number, ())
    requests = {thing: deployed.things[thing].request for thing in things if thing in deployed.things}
    known = len(requests) == len(things) and not set(things) & set(rotate)
    digest = ThingsStack(names, number, requests).digest if known else None
    return ThingsPlan(name, change_of(deployed, name, digest), number, tuple(things))


def _refuse_to_rotate(things: Sequence[str], why: str) -> None:
    if things:
        raise DeployError(f"--rotate: {', '.join(things)} {why if len(things) == 1 else why.replace('is', 'are', 1)}")

"""The end of a fleet: its stacks deleted in the order in which nothing holds them, with patience where AWS is slow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from infrastructure.account import Account, found
from infrastructure.changesets import StackEvent, StackFailed, delete_stack
from infrastructure.deployed import Deployed
from infrastructure.errors import DeployError
from infrastructure.names import Names
from infrastructure.pacing import side_by_side
from infrastructure.registry import read_policy_targets
from infrastructure.rollout import STACKS_AT_ONCE, attempt
from infrastructure.screen import Bar, Screen

# A policy counts as attached for up to five minutes after it was detached; hence six tries, the last after 6 minutes.
PAUSES = (5.0, 15.0, 40.0, 120.0, 180.0)  # seconds
METRIC = "AWS::IoT::CustomMetric"
TOLD = (METRIC, "AWS::IoT::Thing", "AWS::IoT::SecurityProfile", "AWS::IoT::Policy", "AWS::IoT::ThingGroup")


def find_strangers(account: Account, names: Names, deployed: Deployed) -> list[str]:
    """Return the ids of the certificates that have the fleet's policy, and are none of the fleet's."""
    own = {thing.certificate_id for thing in deployed.things.values()}
    return sorted(read_policy_targets(account.iot, names.policy) - own)


def destroy(
    account: Account,
    names: Names,
    deployed: Deployed,
    strangers: Sequence[str],
    screen: Screen,
    pauses: Sequence[float] = PAUSES,
) -> list[DeployError]:
    """Delete all that is deployed of a fleet; return what could not be. What others hold of ours is detached before."""
    stacks = {stack.name for stack in deployed.stacks.values()}
    last = [names.fleet_stack] if names.fleet_stack in stacks else []
    first = sorted(stacks - set(last))
    _detach(account, names, strangers)
    with side_by_side(STACKS_AT_ONCE) as pool:
        delete = lambda name: attempt(lambda: _delete(account, deployed, name, screen, pauses))  # noqa: E731
        errors = [error for error in pool.map(delete, first) if error is not None]
    if errors:
        return errors  # the policy and the group are still in use
    return [error for error in map(delete, last) if error is not None]


def _detach(account: Account, names: Names, certificate_ids: Iterable[str]) -> None:
    for certificate_id in certificate_ids:
        target = f"arn:{account.partition}:iot:{account.region}:{account.id}:cert/{certificate_id}"
        found(account.iot.detach_policy, policyName=names.policy, target=target)


def _delete(account: Account, deployed: Deployed, name: str, screen: Screen, pauses: Sequence[float]) -> None:
    """Delete a stack, with patience; a custom metric that somebody else's security profile uses is left behind."""
    metrics = set(deployed.stacks[name].resources(METRIC))
    with screen.bar(name, 0) as bar:
        failed: frozenset[str] = frozenset()
        for tried, pause in enumerate((*pauses, None)):
            try:
                delete_stack(account, name, _teller(bar))
                bar.say("deleted")
                return
            except StackFailed as error:
                failed = error.failed
                if tried and failed and failed <= metrics:
                    break
                if pause is None:
                    raise
                bar.say(f"{error}; trying again in {pause:.0f} s")
                time.sleep(pause)
        bar.say(f"{', '.join(sorted(failed))}: used outside this fleet, and so left behind")
        delete_stack(account, name, _teller(bar), retain=tuple(failed))


def _teller(bar: Bar) -> Callable[[StackEvent], None]:
    """Return what tells of a stack's events: whatever is deleted, or can not be."""

    def tell(event: StackEvent) -> None:
        if event.failed:
            bar.say(f"{event.logical_id}: {event.reason}")
        elif event.status == "DELETE_COMPLETE" and event.type in TOLD:
            bar.say(f"{event.physical_id} deleted")

    return tell

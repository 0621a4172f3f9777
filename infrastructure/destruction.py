"""The end of a fleet: its stacks deleted in the order in which nothing holds them, with patience where AWS is slow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from infrastructure.account import Account, found
from infrastructure.artifacts import empty
from infrastructure.changesets import delete_stack
from infrastructure.claimed import delete_things, detach_rotation_policy
from infrastructure.deployed import DeployedStack
from infrastructure.errors import DeployError
from infrastructure.fleet import Fleet
from infrastructure.pacing import side_by_side
from infrastructure.registry import read_policy_targets
from infrastructure.rollout import STACKS_AT_ONCE, attempt
from infrastructure.screen import Bar
from infrastructure.watch import StackEvent, StackFailed

# A policy counts as attached for up to five minutes after it was detached; hence six tries, the last after 6 minutes.
PAUSES = (5.0, 15.0, 40.0, 120.0, 180.0)  # seconds
METRIC, PROFILE = "AWS::IoT::CustomMetric", "AWS::IoT::SecurityProfile"
BUCKET = "AWS::S3::Bucket"
TOLD = (
    *(METRIC, PROFILE, "AWS::IoT::Thing", "AWS::IoT::Policy", "AWS::IoT::ThingGroup"),
    *("AWS::IoT::RoleAlias", "AWS::Logs::LogGroup"),
    *("AWS::IoT::TopicRule", "AWS::Kinesis::Stream", "AWS::KinesisAnalyticsV2::Application", "AWS::DynamoDB::Table"),
    *(BUCKET, "AWS::GreengrassV2::ComponentVersion", "AWS::GreengrassV2::Deployment"),
)


def find_strangers(fleet: Fleet) -> list[str]:
    """Return the ARNs of what has the fleet's policy and is none of the fleet's certificates."""
    own = {fleet.account.certificate_arn(thing.certificate_id) for thing in fleet.deployed.things.values()}
    return sorted((read_policy_targets(fleet.account.iot, fleet.names.policy) or frozenset()) - own)


def destroy(
    fleet: Fleet, strangers: Sequence[str], pauses: Sequence[float] = PAUSES, provisioned: Sequence[str] = ()
) -> list[DeployError]:
    """Delete all that is deployed of a fleet; return what could not be. What others hold of ours is detached before.

    `provisioned` are things that no stack holds, and that are to go as well.
    """
    stacks = set(fleet.deployed.stacks)
    last = [fleet.names.fleet_stack] if fleet.names.fleet_stack in stacks else []
    first = sorted(stacks - set(last))
    _detach(fleet, strangers)
    if fleet.names.claim_stack in stacks:
        detach_rotation_policy(fleet)
        delete_things(fleet, provisioned)
    delete = lambda name: attempt(lambda: _delete(fleet, name, pauses))  # noqa: E731
    errors = [error for _, error in side_by_side(delete, first, STACKS_AT_ONCE) if error is not None]
    if errors:
        return errors  # the policy and the group are still in use
    return [error for error in map(delete, last) if error is not None]


def _detach(fleet: Fleet, targets: Iterable[str]) -> None:
    for target in targets:
        found(fleet.account.iot.detach_policy, policyName=fleet.names.policy, target=target)


def _delete(fleet: Fleet, name: str, pauses: Sequence[float]) -> None:
    """Delete a stack, with patience; a custom metric that somebody else's security profile uses is left behind."""
    account, stack = fleet.account, fleet.deployed.stacks[name]
    for bucket in stack.resources(BUCKET).values():
        empty(account, bucket["BucketName"])
    used = lambda name: name in stack.resources(METRIC) and _users(account, stack, name)  # noqa: E731
    with fleet.screen.bar(name, 0) as bar:
        failed: frozenset[str] = frozenset()
        for pause in (*pauses, None):
            try:
                delete_stack(account, stack, _teller(bar))
                bar.say("deleted")
                return
            except StackFailed as error:
                failed = error.failed
                if failed and all(map(used, failed)):
                    break
                if pause is None:
                    raise
                bar.say(f"{error}; trying again in {pause:.0f} s")
                time.sleep(pause)
        for name in sorted(failed):
            users = ", ".join(_users(account, stack, name))
            bar.say(f"{name} is left behind, since security profiles outside this fleet use it: {users}")
        delete_stack(account, stack, _teller(bar), retain=tuple(failed))


def _users(account: Account, stack: DeployedStack, logical_id: str) -> list[str]:
    """Return the names of the security profiles that use a custom metric of a stack's, and are not in the stack."""
    own = {each["SecurityProfileName"] for each in stack.resources(PROFILE).values()}
    answer = account.iot.list_security_profiles(metricName=stack.resources(METRIC)[logical_id]["MetricName"])
    return sorted({each["name"] for each in answer["securityProfileIdentifiers"]} - own)


def _teller(bar: Bar) -> Callable[[StackEvent], None]:
    """Return what tells of a stack's events: whatever is deleted, or cannot be."""

    def tell(event: StackEvent) -> None:
        if event.failed:
            bar.say(f"{event.logical_id}: {event.reason}")
        elif event.status == "DELETE_COMPLETE" and event.type in TOLD:
            bar.say(f"{event.physical_id} deleted")

    return tell

"""What happens to CloudWatch: the role by which devices send to it, and the log groups that they send to."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infrastructure.bundles import with_credentials
from infrastructure.cloudwatch_drift import drift_of_access, drift_of_groups
from infrastructure.description import CloudWatchStack, LogsStack, StackDescription
from infrastructure.errors import DeployError
from infrastructure.fleet import Fleet
from infrastructure.log_groups import LogGroup, deployed_groups, existing_groups
from infrastructure.placement import place
from infrastructure.plan import DELETE, StackPlan, change_of
from infrastructure.sending import Sending, read_sending, refuse_colons
from infrastructure.sources import Wanted

# A template may have 51,200 bytes where it is sent inline; 40 groups with the longest names take 38,100.
GROUPS_PER_STACK = 40
POLICY = "AWS::IoT::Policy"
ASSUME = "iot:AssumeRoleWithCertificate"


@dataclass(frozen=True)
class CloudWatchPlan:
    """What happens to CloudWatch."""

    sending: Sending | None  # None: devices are not let send any more
    stacks: tuple[tuple[StackPlan, StackDescription | None], ...]  # those that go have no description
    new: tuple[str, ...]  # log groups
    gone: tuple[LogGroup, ...]
    drift: tuple[DeployError, ...] = ()  # what was changed by hand

    @property
    def changes(self) -> bool:
        """Whether any stack is touched."""
        return any(stack.changes for stack, _ in self.stacks)

    @property
    def descriptions(self) -> list[StackDescription]:
        """What is to be in the stacks that change."""
        return [what for stack, what in self.stacks if stack.changes and what is not None]


def is_deployed(fleet: Fleet) -> bool:
    """Tell whether the fleet's devices are let send to CloudWatch, be it that a stack of it was deleted by hand."""
    stack = fleet.deployed.stack(fleet.names.fleet_stack)
    return bool(_stacks(fleet)) or (stack is not None and ASSUME in json.dumps(stack.resources(POLICY)))


def read_wanted_sending(fleet: Fleet, asked: bool | None, wanted: Wanted) -> Sending | None:
    """Return what the devices are to send, None for nothing; `asked` None leaves that as it is deployed."""
    if not (is_deployed(fleet) if asked is None else asked):
        return None
    sending = read_sending(wanted.device_config, wanted.config_source)
    refuse_colons(sending, wanted.things)
    return sending


def plan_cloudwatch(fleet: Fleet, sending: Sending | None, things: Sequence[str]) -> CloudWatchPlan | None:
    """Return what happens to CloudWatch, None where nothing was and nothing is to be.

    `sending` None ends it. Raises DeployError for a log group that is there already, and not the fleet's.
    """
    deployed = {group.name: group for group in deployed_groups(fleet)}
    if sending is None:
        going = tuple((StackPlan(name, DELETE), None) for name in _stacks(fleet))
        return CloudWatchPlan(None, going, (), tuple(deployed.values())) if going else None
    wanted = {name: owner for thing in things for name, owner in sending.groups(thing).items()}
    new = tuple(name for name in wanted if name not in deployed)
    names = [*deployed, *new]
    existing = existing_groups(fleet.account, names) if names else {}
    _refuse_foreign(fleet, [name for name in new if name in existing])
    access = CloudWatchStack(fleet.names, sending.namespace, sending.resources)
    stacks = (
        (StackPlan(access.stack_name, change_of(fleet.deployed, access.stack_name, access.digest)), access),
        *_plan_groups(fleet, wanted, deployed, sending.retention),
    )
    gone = tuple(group for name, group in deployed.items() if name not in wanted)
    drift = (*drift_of_access(fleet), *drift_of_groups(fleet, deployed.values(), existing))
    return CloudWatchPlan(sending, stacks, new, gone, drift)


def device_config_for(fleet: Fleet, wanted: Wanted, plan: CloudWatchPlan | None) -> Mapping[str, Any]:
    """Return what every device has in its configuration, with where it gets credentials if it is to send."""
    if plan is None or plan.sending is None:
        return wanted.device_config
    return with_credentials(wanted.device_config, fleet.account.credentials_endpoint(), fleet.names.role_alias)


def refuse_lost_logs(plan: CloudWatchPlan | None, going: Collection[str], most: int | None) -> None:
    """Raise DeployError where more things than agreed to would lose the log groups that they have.

    `going` are the things that are no longer listed, which are counted elsewhere.
    """
    if plan is None or plan.sending is None:
        return
    losing = {group.thing or group.name for group in plan.gone} - set(going)
    if len(losing) > (most or 0):
        raise DeployError(
            f"the devices' configuration names other log groups than before, and the old ones of {len(losing)} things "
            "would be deleted with all that is in them, which --yes does not agree to: look at the plan with --plan; "
            f"if that is meant, give --delete-at-most {len(losing)}"
        )


def _stacks(fleet: Fleet) -> list[str]:
    """Return the names of the fleet's stacks that have to do with CloudWatch: what lets devices in goes first."""
    names = fleet.names
    numbered = {number: name for name in fleet.deployed.stacks if (number := names.logs_stack_number(name)) is not None}
    access = [names.cloudwatch_stack] if names.cloudwatch_stack in fleet.deployed.stacks else []
    return [*access, *(numbered[number] for number in sorted(numbered))]


def _refuse_foreign(fleet: Fleet, groups: Sequence[str]) -> None:
    if groups:
        raise DeployError(
            f"the log group {groups[0]} exists in this account already, outside this fleet"
            + (f", as do {len(groups) - 1} more" if len(groups) > 1 else "")
            + ": delete it with all that is in it ("
            + f"`aws logs delete-log-group --log-group-name {groups[0]} --region {fleet.account.region}`"
            + "), or give another logs.log_group_name"
        )


def _plan_groups(
    fleet: Fleet, wanted: Mapping[str, str], deployed: Mapping[str, LogGroup], retention: int | None
) -> Iterator[tuple[StackPlan, StackDescription | None]]:
    """Yield what happens to each stack of log groups; a group stays in the stack that it is in."""
    numbers = place(wanted, {group.name: group.stack for group in deployed.values()}, GROUPS_PER_STACK)
    failed = {number for name in fleet.deployed.stacks if (number := fleet.names.logs_stack_number(name)) is not None}
    for number in sorted({*numbers.values(), *failed}):
        groups = {name: wanted[name] for name, where in numbers.items() if where == number}
        description = LogsStack(fleet.names, number, groups, retention)
        if groups:
            change = change_of(fleet.deployed, description.stack_name, description.digest)
            yield StackPlan(description.stack_name, change), description
        else:
            yield StackPlan(description.stack_name, DELETE), None

"""What was changed by hand of what lets devices send to CloudWatch, and the commands that repair it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from infrastructure.account import Account, found
from infrastructure.deployed import DeployedStack
from infrastructure.errors import DeployError
from infrastructure.fleet import Fleet
from infrastructure.log_groups import LogGroup, days_text

ROLE, ROLE_ALIAS = "AWS::IAM::Role", "AWS::IoT::RoleAlias"


def drift_of_access(fleet: Fleet) -> Iterator[DeployError]:
    """Yield what keeps devices from getting credentials, although the stack is as it should be."""
    stack = fleet.deployed.stack(fleet.names.cloudwatch_stack)
    if stack is None or not stack.exists or not stack.resources(ROLE_ALIAS):
        return
    alias, role = fleet.names.role_alias, stack.outputs.get("RoleArn", "")
    yield from _drift_of_role(fleet, stack, role)
    answer = found(fleet.account.iot.describe_role_alias, roleAlias=alias)
    if answer is None:
        repair = _command(fleet, f"iot create-role-alias --role-alias {alias} --role-arn {role}")
        yield DeployError(f"the role alias {alias} was deleted by hand: {repair}")
    elif answer["roleAliasDescription"]["roleArn"] != role:
        leads = answer["roleAliasDescription"]["roleArn"]
        repair = _command(fleet, f"iot update-role-alias --role-alias {alias} --role-arn {role}")
        yield DeployError(f"the role alias {alias} was changed by hand and leads to {leads}: {repair}")


def _drift_of_role(fleet: Fleet, stack: DeployedStack, role: str) -> Iterator[DeployError]:
    """Yield what was done to the role: deleted, or let do other than what was deployed."""
    name, iam = role.rpartition("/")[2], fleet.account.client("iam")
    (wanted,) = stack.resources(ROLE).values()
    (policy,) = wanted["Policies"]
    try:
        trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
        inline = iam.list_role_policies(RoleName=name)["PolicyNames"]
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        allows = iam.get_role_policy(RoleName=name, PolicyName=policy["PolicyName"])["PolicyDocument"]
    except iam.exceptions.NoSuchEntityException:
        yield _role_drift(fleet, stack, f"the role {name}, or its policy, was deleted by hand")
        return
    wishes = _resolved([wanted["AssumeRolePolicyDocument"], policy["PolicyDocument"]], fleet.account)
    if wishes != [trust, allows] or inline != [policy["PolicyName"]] or attached:
        yield _role_drift(fleet, stack, f"the role {name} was changed by hand, and allows other things than deployed")


def _role_drift(fleet: Fleet, stack: DeployedStack, says: str) -> DeployError:
    delete = _command(fleet, f"cloudformation delete-stack --stack-name {stack.name}")
    return DeployError(f"{says}: {delete}, then run this again; no log is lost")


def _resolved(value: Any, account: Account) -> Any:
    """Return a part of a template as CloudFormation resolves it, as far as references to the account go."""
    if isinstance(value, list):
        return [_resolved(each, account) for each in value]
    if not isinstance(value, dict):
        return value
    names = {"AWS::Partition": account.partition, "AWS::Region": account.region, "AWS::AccountId": account.id}
    if value.keys() == {"Ref"}:
        return names.get(value["Ref"], value)
    if value.keys() == {"Fn::Sub"}:
        return re.sub(r"\$\{(AWS::\w+)\}", lambda found: names[found[1]], value["Fn::Sub"]).replace("${!", "${")
    return {key: _resolved(each, account) for key, each in value.items()}


def drift_of_groups(
    fleet: Fleet, groups: Iterable[LogGroup], existing: Mapping[str, int | None]
) -> Iterator[DeployError]:
    """Yield what was done to log groups: deleted, or let keep their events for another time than deployed."""
    for group in groups:
        name, days = f"--log-group-name {group.name}", group.retention
        keep = f"put-retention-policy {name} --retention-in-days {days}" if days else f"delete-retention-policy {name}"
        if group.name not in existing:
            steps = [f"logs create-log-group {name}", *([f"logs {keep}"] if days else [])]
            yield DeployError(f"the log group {group.name} was deleted by hand: {_command(fleet, *steps)}")
        elif (kept := existing[group.name]) != days:
            now = days_text(kept) if kept else "for ever"
            repair = _command(fleet, f"logs {keep}")
            yield DeployError(f"the log group {group.name} was changed by hand, and keeps its events {now}: {repair}")


def _command(fleet: Fleet, *steps: str) -> str:
    """Return commands that a deployer may give."""
    return " && ".join(f"aws {step} --region {fleet.account.region}" for step in steps).join("``")

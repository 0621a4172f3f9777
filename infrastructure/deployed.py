"""What of a fleet is deployed, read back from its stacks: templates tell where things are, with their requests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import ClientError

from infrastructure.account import WORKERS, Account
from infrastructure.errors import DeployError
from infrastructure.names import TAG, Names
from infrastructure.refusals import message_of

ATTACHMENT = "AWS::IoT::ThingPrincipalAttachment"
TO_BE_REMOVED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")  # before it can be created again
NOTHING_THERE = ("REVIEW_IN_PROGRESS", *TO_BE_REMOVED)  # a stack, but nothing in it


@dataclass(frozen=True)
class DeployedStack:
    """A stack as it is in the account."""

    name: str
    status: str  # CREATE_COMPLETE ...
    reason: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    template: Mapping[str, Any] = field(default_factory=dict)  # empty where nothing is there
    id: str = ""  # its ARN, by which also a deleted one can be asked for

    @property
    def busy(self) -> bool:
        """Whether CloudFormation is at work on it."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def exists(self) -> bool:
        """Whether it holds resources."""
        return self.status not in NOTHING_THERE

    @property
    def digest(self) -> str | None:
        """The digest of the description that it was made of."""
        digest = self.template.get("Metadata", {}).get(TAG, {}).get("digest")
        return str(digest) if digest else None

    def metadata(self, kind: str) -> Mapping[str, Any]:
        """Return what is noted with the first resource of a type, nothing where there is none."""
        resources = self.template.get("Resources", {}).values()
        return next((dict(each.get("Metadata", {}).get(TAG, {})) for each in resources if each["Type"] == kind), {})

    def resources(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """Return the properties of the resources of a type, by their logical ids."""
        resources = self.template.get("Resources", {})
        return {name: each.get("Properties", {}) for name, each in resources.items() if each["Type"] == kind}


@dataclass(frozen=True)
class DeployedThing:
    """A thing as its stack's template has it."""

    name: str
    stack: int
    request: str  # the certificate signing request (PEM)
    certificate_id: str  # "" where the stack does not tell


@dataclass(frozen=True)
class Deployed:
    """All that is deployed of one fleet."""

    stacks: Mapping[str, DeployedStack] = field(default_factory=dict)
    things: Mapping[str, DeployedThing] = field(default_factory=dict)

    def stack(self, name: str) -> DeployedStack | None:
        """Return a stack, also one that holds nothing; None where there is none."""
        return self.stacks.get(name)


def read_deployed(account: Account, names: Names) -> Deployed:
    """Return what of the fleet is deployed, also where CloudFormation is at work on it."""
    stacks = {stack.name: stack for stack in _list_stacks(account, names)}
    with ThreadPoolExecutor(WORKERS) as pool:
        read = pool.map(lambda stack: _with_template(account, stack), stacks.values())
        stacks = {stack.name: stack for stack in read}
    return Deployed(stacks, {thing.name: thing for thing in _things(stacks, names)})


def refuse_busy(stack: DeployedStack, region: str) -> None:
    """Raise DeployError if the stack cannot be changed now."""
    refuse_stuck(stack, region)
    if stack.busy:
        raise DeployError(
            f"the stack {stack.name} is busy ({stack.status}): another deployment is under way; run this again when it "
            "has ended"
        )


def refuse_stuck(stack: DeployedStack, region: str) -> None:
    """Raise DeployError if only a person can let the stack go on."""
    if stack.status == "UPDATE_ROLLBACK_FAILED":
        raise DeployError(
            f"the stack {stack.name} is stuck ({stack.status}: {stack.reason}): let its rollback continue with `aws "
            f"cloudformation continue-update-rollback --stack-name {stack.name} --region {region}`, then run this again"
        )


def read_stack(account: Account, name: str) -> DeployedStack | None:
    """Return a stack as it is now, None where there is none of the name."""
    try:
        answer = account.cloudformation.describe_stacks(StackName=name)
    except ClientError as error:
        if "does not exist" in message_of(error):
            return None
        raise
    return _with_template(account, _as_stack(answer["Stacks"][0]))


def _list_stacks(account: Account, names: Names) -> Iterator[DeployedStack]:
    own = {names.fleet_stack, names.detect_stack, names.cloudwatch_stack, names.artifacts_stack, names.greengrass_stack}
    own |= {names.claim_stack, names.engine_bucket_stack, names.engine_stack}
    for page in account.cloudformation.get_paginator("describe_stacks").paginate():
        for stack in page["Stacks"]:
            name = stack["StackName"]
            numbers = (names.things_stack_number(name), names.logs_stack_number(name))
            if name in own or any(number is not None for number in numbers):
                yield _as_stack(stack)


def _as_stack(answer: Mapping[str, Any]) -> DeployedStack:
    outputs = {each["OutputKey"]: each["OutputValue"] for each in answer.get("Outputs", [])}
    reason = answer.get("StackStatusReason", "")
    return DeployedStack(answer["StackName"], answer["StackStatus"], reason, outputs, id=answer["StackId"])


def _with_template(account: Account, stack: DeployedStack) -> DeployedStack:
    if not stack.exists:
        return stack
    answer = account.cloudformation.get_template(StackName=stack.id, TemplateStage="Original")
    body = answer["TemplateBody"]  # boto3 has parsed it where it is JSON
    return replace(stack, template=json.loads(body) if isinstance(body, str) else body)


def certificates_of(template: Mapping[str, Any]) -> dict[str, str]:
    """Return whose certificate each logical id of a template stands for: logical id to thing name."""
    resources = template.get("Resources", {})
    attachments = [each["Properties"] for each in resources.values() if each["Type"] == ATTACHMENT]
    return {_referred(each["Principal"]): _thing_name(resources, each["ThingName"]) for each in attachments}


def _things(stacks: Mapping[str, DeployedStack], names: Names) -> Iterator[DeployedThing]:
    for stack in stacks.values():
        number = names.things_stack_number(stack.name)
        if number is None:
            continue
        certificates = stack.resources("AWS::IoT::Certificate")
        for logical_id, thing in certificates_of(stack.template).items():
            request = certificates[logical_id]["CertificateSigningRequest"]
            yield DeployedThing(thing, number, request, stack.outputs.get(logical_id, ""))


def _thing_name(resources: Mapping[str, Any], value: Any) -> str:
    return value if isinstance(value, str) else str(resources[_referred(value)]["Properties"]["ThingName"])


def _referred(value: Mapping[str, Any]) -> str:
    """Return the logical id that a Ref or Fn::GetAtt leads to."""
    return str(value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0])

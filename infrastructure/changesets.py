"""One stack brought to its template by a change set, watched until it is there, or brought back."""

from __future__ import annotations

import contextlib
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from infrastructure.account import Account
from infrastructure.deployed import TO_BE_REMOVED, DeployedStack, refuse_busy
from infrastructure.errors import DeployError, Refused
from infrastructure.refusals import code_of, message_of, missing_permission, permission_sentence

CAPABILITIES = ["CAPABILITY_IAM"]  # the role by which Detect publishes alerts
SOONEST, LATEST = 0.1, 3.0  # seconds between two looks at CloudFormation, which is asked less and less often
SLOWER = 1.5
NO_CHANGES = re.compile("didn't contain changes|No updates are to be performed", re.IGNORECASE)
BUSY = ("OperationInProgressException", "InvalidChangeSetStatus", "ChangeSetNotFound", "AlreadyExistsException")
REPLACED_WITH_CARE = ("AWS::IoT::Thing", "AWS::IoT::Certificate")  # a device is cut off by losing them


@dataclass(frozen=True)
class StackEvent:
    """Something that CloudFormation did."""

    stack: str
    logical_id: str
    physical_id: str  # a thing's name, a certificate's id; "" before there is one
    type: str  # AWS::IoT::Thing
    status: str  # CREATE_COMPLETE ...
    reason: str

    @property
    def failed(self) -> bool:
        """Whether this went wrong by itself, and was not only called off because something else did."""
        return self.status.endswith("_FAILED") and not re.search("cancell?ed", self.reason, re.IGNORECASE)


class StackFailed(DeployError):
    """A stack that could not be made as it should be; CloudFormation brought back what was before."""

    def __init__(self, stack: str, verb: str, reasons: list[str], failed: frozenset[str] = frozenset()) -> None:
        self.failed = failed  # the logical ids of the resources that went wrong
        super().__init__(f"the stack {stack} could not be {verb}: {'; '.join(reasons) or 'AWS gives no reason'}")


OnEvent = Callable[[StackEvent], None]


def apply_template(account: Account, name: str, template: str, before: DeployedStack | None, on_event: OnEvent) -> None:
    """Create or update a stack; raises StackFailed, Refused, or DeployError if another deployment came between.

    `before` is the stack as it was when the plan was shown: nothing that is not in the plan is removed or replaced.
    """
    if before is not None and before.status in TO_BE_REMOVED:
        delete_stack(account, name, on_event)
        before = None
    update = before is not None and before.exists
    change_set = _create_change_set(account, name, template, update)
    if change_set is None:
        return
    try:
        _refuse_surprises(account, change_set, name, template, before)
        watch = Watch(account, change_set["StackId"], name, on_event)
        account.cloudformation.execute_change_set(StackName=name, ChangeSetName=change_set["ChangeSetId"])
    except (ClientError, DeployError) as error:
        with contextlib.suppress(ClientError):
            account.cloudformation.delete_change_set(StackName=name, ChangeSetName=change_set["ChangeSetId"])
        if isinstance(error, ClientError) and code_of(error) in BUSY:
            raise _busy(name) from error
        raise
    watch.until_settled()
    watch.raise_unless("UPDATE_COMPLETE" if update else "CREATE_COMPLETE", "updated" if update else "created")


def delete_stack(account: Account, name: str, on_event: OnEvent, retain: tuple[str, ...] = ()) -> None:
    """Delete a stack and all it holds but the logical ids to retain; raises StackFailed."""
    watch = Watch(account, _stack_id(account, name), name, on_event)
    account.cloudformation.delete_stack(StackName=name, **({"RetainResources": list(retain)} if retain else {}))
    watch.until_settled()
    watch.raise_unless("DELETE_COMPLETE", "deleted")


class Watch:
    """Follows what CloudFormation does to a stack from now on."""

    def __init__(self, account: Account, stack_id: str, name: str, on_event: OnEvent) -> None:
        self._cloudformation = account.cloudformation
        self._region = account.region
        self._stack_id = stack_id
        self._name = name
        self._on_event = on_event
        self._status = ""
        self._failures: list[StackEvent] = []
        self._seen = {event["EventId"] for event in self._page(None)["StackEvents"]}  # they are of the past

    def until_settled(self) -> None:
        """Pass on events until CloudFormation has done, or brought back, what it began."""
        pause = SOONEST
        while True:
            time.sleep(pause)
            pause = min(pause * SLOWER, LATEST)
            self._status = self._read_status()  # before the events, or the last of them are missed
            for event in reversed(list(self._new_events())):
                if event.failed:
                    self._failures.append(event)
                self._on_event(event)
            if not self._status.endswith("_IN_PROGRESS"):
                return

    def raise_unless(self, wished: str, verb: str) -> None:
        """Raise Refused or StackFailed if it did not end as wished."""
        if self._status == wished:
            return
        own = [event for event in self._failures if event.type != "AWS::CloudFormation::Stack"]
        failures = own or self._failures
        for event in failures:
            action = missing_permission(event.reason)
            if action:
                raise Refused(f"the stack {self._name} could not be {verb}: {permission_sentence(action)}", action)
        reasons = [f"{event.logical_id}: {event.reason}" for event in failures]
        raise StackFailed(self._name, verb, reasons, frozenset(event.logical_id for event in own))

    def _read_status(self) -> str:
        stacks = self._cloudformation.describe_stacks(StackName=self._stack_id)["Stacks"]
        return str(stacks[0]["StackStatus"])

    def _new_events(self) -> Iterator[StackEvent]:
        """Yield the events since the last call, the newest first."""
        token = None
        while True:
            page = self._page(token)
            for event in page["StackEvents"]:
                if event["EventId"] in self._seen:
                    return
                self._seen.add(event["EventId"])
                yield StackEvent(
                    self._name, event["LogicalResourceId"], event.get("PhysicalResourceId", ""), event["ResourceType"],
                    event["ResourceStatus"], event.get("ResourceStatusReason", ""),
                )  # fmt: skip
            token = page.get("NextToken")
            if not token:
                return

    def _page(self, token: str | None) -> Any:
        more = {"NextToken": token} if token else {}
        return self._cloudformation.describe_stack_events(StackName=self._stack_id, **more)


def _create_change_set(account: Account, name: str, template: str, update: bool) -> Any:
    """Return a change set (as DescribeChangeSet does) that can be executed, None if there is nothing to change."""
    change_set_name = f"deploy-{uuid.uuid4()}"
    try:
        answer = account.cloudformation.create_change_set(
            StackName=name,
            ChangeSetName=change_set_name,
            ChangeSetType="UPDATE" if update else "CREATE",
            TemplateBody=template,
            Capabilities=CAPABILITIES,
        )
    except ClientError as error:
        if re.search("IN_PROGRESS|already exist", message_of(error)):
            raise _busy(name) from error
        raise
    change_set = _wait_for(account, name, answer["Id"])
    if change_set["Status"] != "FAILED":
        return change_set
    account.cloudformation.delete_change_set(StackName=name, ChangeSetName=answer["Id"])
    reason = change_set.get("StatusReason", "")
    if NO_CHANGES.search(reason):
        return None
    action = missing_permission(reason)
    if action:
        raise Refused(f"the stack {name} can not be changed: {permission_sentence(action)}", action)
    raise StackFailed(name, "updated" if update else "created", [reason])


def _wait_for(account: Account, name: str, change_set_id: str) -> Any:
    pause = SOONEST
    while True:
        change_set = account.cloudformation.describe_change_set(StackName=name, ChangeSetName=change_set_id)
        if change_set["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            return change_set
        time.sleep(pause)
        pause = min(pause * SLOWER, LATEST)


def _refuse_surprises(
    account: Account, change_set: Any, name: str, template: str, before: DeployedStack | None
) -> None:
    """Raise DeployError if the change set takes away what the plan did not show, because the stack changed since.

    If it changes from now on, CloudFormation makes the change set obsolete by itself.
    """
    old: Mapping[str, Any] = before.template.get("Resources", {}) if before else {}
    new = json.loads(template)["Resources"]
    for change in _changes(account, change_set):
        logical_id = change["LogicalResourceId"]
        removed = change["Action"] == "Remove" and (logical_id not in old or logical_id in new)
        replaced = change.get("Replacement") == "True" and change["ResourceType"] in REPLACED_WITH_CARE
        if removed or (replaced and old.get(logical_id) == new.get(logical_id)):
            raise _busy(name)


def _changes(account: Account, change_set: Any) -> Iterator[Any]:
    page = change_set
    while True:
        yield from (each["ResourceChange"] for each in page.get("Changes", []) if "ResourceChange" in each)
        if not page.get("NextToken"):
            return
        page = account.cloudformation.describe_change_set(
            StackName=change_set["StackId"], ChangeSetName=change_set["ChangeSetId"], NextToken=page["NextToken"]
        )


def _stack_id(account: Account, name: str) -> str:
    """Return the stack's ARN, by which also a deleted one can be asked for; DeployError where it is busy."""
    stack = account.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    refuse_busy(DeployedStack(name, stack["StackStatus"], stack.get("StackStatusReason", "")), account.region)
    return str(stack["StackId"])


def _busy(name: str) -> DeployError:
    return DeployError(
        f"the stack {name} was changed meanwhile, or is busy: another deployment is under way; run this again when it "
        "has ended"
    )

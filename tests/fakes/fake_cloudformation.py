"""CloudFormation as far as deploy.py knows it: stacks that take their time, events, pages, change sets, refusals."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

PAGE = 3  # events and changes on a page, so that a few make several
STACK = "AWS::CloudFormation::Stack"
UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
VERBS = {"Add": "CREATE", "Modify": "UPDATE", "Remove": "DELETE"}
NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."


def refuse(code: str, message: str, operation: str = "Operation") -> ClientError:
    """Return AWS's answer that something is not done."""
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@dataclass
class FakeStack:
    """A stack; what is under way with it goes on by a step each time somebody looks."""

    name: str
    id: str
    status: str = "REVIEW_IN_PROGRESS"
    template: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)  # the newest first, as AWS lists them
    steps: list[Callable[[], object]] = field(default_factory=list)


class FakeCloudFormation:
    """A client of CloudFormation with an account behind it."""

    def __init__(self) -> None:
        self.stacks: dict[str, FakeStack] = {}  # by id; deleted ones stay
        self.change_sets: dict[str, dict[str, Any]] = {}
        self.executed = ""  # the token of the last execution
        self.fails: dict[str, str] = {}  # logical id of a resource that fails, and why
        self.slow = 0  # looks before something begins that was accepted
        self.before: dict[str, Callable[[], None]] = {}  # what happens just before a call, once, by the call's name
        self.calls: list[str] = []
        self._numbers = itertools.count(1)

    # What tests prepare and look at.

    def add(self, name: str, status: str = "CREATE_COMPLETE", template: dict[str, Any] | None = None) -> FakeStack:
        """Let there be a stack."""
        stack = FakeStack(name, f"arn:aws:cloudformation:eu-west-1:123456789012:stack/{name}/{next(self._numbers)}")
        self.stacks[stack.id] = stack
        stack.template = template or {}
        self._mark(stack, status)
        return stack

    def stack(self, name: str) -> FakeStack | None:
        """Return the stack of a name, None if it is deleted or was never there."""
        living = [each for each in self.stacks.values() if each.status != "DELETE_COMPLETE"]
        return next((each for each in living if name in (each.name, each.id)), None)

    def resources(self, name: str) -> list[str]:
        """Return the logical ids of what a stack holds."""
        stack = self.stack(name)
        return sorted(stack.template.get("Resources", {})) if stack else []

    # What a client has.

    def get_paginator(self, operation: str) -> FakeCloudFormation:
        assert operation == "describe_stacks"
        return self

    def paginate(self) -> Iterator[dict[str, Any]]:
        self._call("describe_stacks")
        for stack in [each for each in self.stacks.values() if each.status != "DELETE_COMPLETE"]:
            yield {"Stacks": [self._describe(stack)]}  # a page each

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        self._call("describe_stacks")
        stack = self.stacks.get(StackName) or self.stack(StackName)
        if stack is None:
            raise refuse("ValidationError", f"Stack with id {StackName} does not exist", "DescribeStacks")
        if stack.steps:
            stack.steps.pop(0)()
        return {"Stacks": [self._describe(stack)]}

    def get_template(self, StackName: str, TemplateStage: str) -> dict[str, Any]:  # noqa: N803
        self._call("get_template")
        stack = self.stack(StackName)
        if stack is None:
            raise refuse("ValidationError", f"Stack with id {StackName} does not exist", "GetTemplate")
        return {"TemplateBody": stack.template}

    def describe_stack_events(self, StackName: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        self._call("describe_stack_events")
        start = int(NextToken)
        events = self.stacks[StackName].events
        more = {"NextToken": str(start + PAGE)} if len(events) > start + PAGE else {}
        return {"StackEvents": events[start : start + PAGE], **more}

    def create_change_set(self, **asked: Any) -> dict[str, str]:
        self._call("create_change_set")
        name, create = asked["StackName"], asked["ChangeSetType"] == "CREATE"
        stack = self.stack(name)
        if create and stack is not None and stack.status != "REVIEW_IN_PROGRESS":
            text = f"Stack [{name}] already exists and cannot be created again with the changeSet [x]."
            raise refuse("ValidationError", text, "CreateChangeSet")
        if not create and (stack is None or stack.status == "REVIEW_IN_PROGRESS"):
            raise refuse("ValidationError", f"Stack [{name}] does not exist", "CreateChangeSet")
        if not create and stack is not None and stack.status not in UPDATABLE:
            text = f"Stack:{stack.id} is in {stack.status} state and cannot be updated."
            raise refuse("ValidationError", text, "CreateChangeSet")
        stack = stack or self.add(name, "REVIEW_IN_PROGRESS")
        new = json.loads(asked["TemplateBody"])
        change_set = {
            "ChangeSetId": f"arn:{next(self._numbers)}",
            "StackName": name,
            "StackId": stack.id,
            "looks": 2,
            "template": new,
        }
        change_set["changes"] = list(_changes(stack.template, new))
        empty = stack.template.get("Resources") == new["Resources"] and _outputs(stack.template) == _outputs(new)
        change_set |= {"end": "FAILED" if empty else "CREATE_COMPLETE", "StatusReason": NO_CHANGES if empty else ""}
        self.change_sets[change_set["ChangeSetId"]] = change_set
        return {"Id": change_set["ChangeSetId"]}

    def describe_change_set(self, StackName: str, ChangeSetName: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        self._call("describe_change_set")
        change_set = self._change_set(StackName, ChangeSetName, "DescribeChangeSet")
        change_set["looks"] -= 1
        status = "CREATE_IN_PROGRESS" if change_set["looks"] > 0 else change_set["end"]
        start, changes = int(NextToken), change_set["changes"]
        more = {"NextToken": str(start + PAGE)} if len(changes) > start + PAGE else {}
        return {**change_set, "Status": status, "Changes": changes[start : start + PAGE], **more}

    def delete_change_set(self, StackName: str, ChangeSetName: str) -> None:  # noqa: N803
        self._call("delete_change_set")
        self._change_set(StackName, ChangeSetName, "DeleteChangeSet")
        del self.change_sets[ChangeSetName]

    def execute_change_set(self, StackName: str, ChangeSetName: str, ClientRequestToken: str = "") -> None:  # noqa: N803
        self._call("execute_change_set")
        if ClientRequestToken and ClientRequestToken == self.executed:
            return  # the second try of a call that arrived
        self.executed = ClientRequestToken
        change_set = self._change_set(StackName, ChangeSetName, "ExecuteChangeSet")
        stack = self.stacks[change_set["StackId"]]
        self.change_sets = {key: each for key, each in self.change_sets.items() if each["StackId"] != stack.id}
        self._begin(stack, "CREATE" if stack.status == "REVIEW_IN_PROGRESS" else "UPDATE", change_set)

    def delete_stack(self, StackName: str, RetainResources: tuple[str, ...] = ()) -> None:  # noqa: N803
        self._call("delete_stack")
        stack = self.stack(StackName)
        if stack is None:
            return  # as with AWS, that is no error
        going = {name: "DELETE" for name in stack.template.get("Resources", {}) if name not in RetainResources}
        stack.steps += [lambda: None] * self.slow
        stack.steps.append(lambda: self._mark(stack, "DELETE_IN_PROGRESS"))
        stack.steps.append(lambda: self._settle(stack, going, "DELETE_COMPLETE", "DELETE_FAILED"))

    # How it works.

    def _call(self, name: str) -> None:
        self.calls.append(name)
        self.before.pop(name, lambda: None)()

    def _change_set(self, stack: str, change_set_id: str, operation: str) -> dict[str, Any]:
        if self.change_sets.get(change_set_id, {}).get("StackName") != stack:
            raise refuse("ChangeSetNotFound", f"ChangeSet [{change_set_id}] does not exist", operation)
        return self.change_sets[change_set_id]

    def _begin(self, stack: FakeStack, verb: str, change_set: dict[str, Any]) -> None:
        changes = [each["ResourceChange"] for each in change_set["changes"]]
        touched = {each["LogicalResourceId"]: VERBS[each["Action"]] for each in changes}
        ruin = "ROLLBACK_COMPLETE" if verb == "CREATE" else "UPDATE_ROLLBACK_COMPLETE"

        def settle() -> None:
            before, stack.template = stack.template, change_set["template"]
            if self._settle(stack, touched, f"{verb}_COMPLETE", ruin):
                stack.template = before

        stack.steps += [lambda: None] * self.slow
        stack.steps.append(lambda: self._mark(stack, f"{verb}_IN_PROGRESS"))
        stack.steps.append(settle)

    def _settle(self, stack: FakeStack, touched: dict[str, str], end: str, ruin: str) -> bool:
        """Do what is asked to some resources; return whether any failed."""
        failed = [name for name in touched if name in self.fails]
        kinds = {name: each["Type"] for name, each in stack.template.get("Resources", {}).items()}
        for name, verb in touched.items():
            kind = kinds.get(name, "AWS::IoT::Thing")
            self._tell(stack, name, kind, f"{verb}_IN_PROGRESS")
            self._tell(stack, name, kind, f"{verb}_{'FAILED' if name in failed else 'COMPLETE'}", self.fails.get(name))
        if failed and "ROLLBACK" in ruin:
            self._mark(stack, ruin.replace("COMPLETE", "IN_PROGRESS"))
            for name in touched:
                self._tell(stack, name, kinds.get(name, "AWS::IoT::Thing"), "DELETE_COMPLETE")
        self._mark(stack, ruin if failed else end)
        return bool(failed)

    def _mark(self, stack: FakeStack, status: str) -> None:
        stack.status = status
        self._tell(stack, stack.name, STACK, status)

    def _tell(self, stack: FakeStack, name: str, kind: str, status: str, reason: str | None = None) -> None:
        event = {"EventId": str(next(self._numbers)), "LogicalResourceId": name, "ResourceType": kind}
        event |= {"ResourceStatus": status, "PhysicalResourceId": f"physical-{name}"}
        stack.events.insert(0, {**event, **({"ResourceStatusReason": reason} if reason else {})})

    def _describe(self, stack: FakeStack) -> dict[str, Any]:
        complete = stack.status.endswith(("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"))
        outputs = [{"OutputKey": key, "OutputValue": f"id-of-{key}"} for key in _outputs(stack.template)]
        answer = {"StackName": stack.name, "StackId": stack.id, "StackStatus": stack.status}
        answer |= {"StackStatusReason": stack.reason} if stack.reason else {}
        return {**answer, **({"Outputs": outputs} if complete and outputs else {})}


def _outputs(template: dict[str, Any]) -> dict[str, Any]:
    return dict(template.get("Outputs", {}))


def _changes(old: dict[str, Any], new: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what AWS's change sets say of the way from one template to another."""
    before, after = old.get("Resources", {}), new["Resources"]
    for name in sorted({*before, *after}):
        change = {"LogicalResourceId": name, "ResourceType": (after.get(name) or before[name])["Type"]}
        if name not in after:
            change["Action"] = "Remove"
        elif name not in before:
            change["Action"] = "Add"
        elif before[name] != after[name]:
            change |= {"Action": "Modify", "Replacement": "True"}  # as with whatever is replaced in a fleet
        else:
            continue
        yield {"Type": "Resource", "ResourceChange": change}

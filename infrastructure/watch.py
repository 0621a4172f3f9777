"""What CloudFormation does to a stack, watched until it is done, or rolled back."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from infrastructure.account import Account
from infrastructure.errors import DeployError, Refused
from infrastructure.refusals import missing_permission, permission_sentence

SOONEST, LATEST = 0.1, 3.0  # seconds between two looks at CloudFormation, which is asked less and less often
SLOWER = 1.5
PATIENCE = 30.0  # seconds that a stack's status and its last event may say different things
STACK = "AWS::CloudFormation::Stack"


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

    @property
    def explanation(self) -> str:
        """Why it went wrong: the permission that is missing, where that is why."""
        action = missing_permission(self.reason)
        return permission_sentence(action) if action else self.reason


class StackFailed(DeployError):
    """A stack that could not be made as it should be; CloudFormation rolled it back."""

    def __init__(self, stack: str, verb: str, reasons: list[str], failed: frozenset[str] = frozenset()) -> None:
        self.failed = failed  # the logical ids of the resources that went wrong
        super().__init__(f"the stack {stack} could not be {verb}: {'; '.join(reasons) or 'AWS gives no reason'}")


class LeftBehind(DeployError):
    """A stack is as it should be, but something that it held before could not be deleted, and is in no stack now."""

    def __init__(self, stack: str, failures: list[StackEvent]) -> None:
        left = "; ".join(f"{each.physical_id} ({each.type}): {each.explanation}" for each in failures)
        super().__init__(f"the stack {stack} is as it should be, but this is left, to be deleted by hand: {left}")


OnEvent = Callable[[StackEvent], None]


class Watch:
    """Follows what CloudFormation does to a stack from now on."""

    def __init__(self, account: Account, stack_id: str, name: str, on_event: OnEvent) -> None:
        self._cloudformation = account.cloudformation
        self._stack_id = stack_id
        self._name = name
        self._on_event = on_event
        self._status = ""
        self._last_event = ""  # of the stack itself: its status
        self._failures: list[StackEvent] = []
        self._deleted: set[str] = set()  # physical ids
        self._seen = {event["EventId"] for event in self._page(None)["StackEvents"]}  # they are of the past

    def until_settled(self) -> None:
        """Pass on events until CloudFormation has done, or rolled back, what it began.

        For a moment the status may still be the one from before; so it counts when the last event says the same.
        """
        self._follow(lambda: self._status == self._last_event)

    def until_idle(self) -> str:
        """Pass on events until CloudFormation has ended what somebody else began; return the status."""
        self._follow(lambda: True)
        return self._status

    def _follow(self, confirmed: Callable[[], bool]) -> None:
        pause, patience = SOONEST, time.monotonic() + PATIENCE
        while True:
            time.sleep(pause)
            pause = min(pause * SLOWER, LATEST)
            self._status = self._read_status()  # before the events, or the last of them are missed
            for event in reversed(list(self._new_events())):
                self._note(event)
                patience = time.monotonic() + PATIENCE
            settled = not self._status.endswith("_IN_PROGRESS")
            if settled and (confirmed() or time.monotonic() > patience):
                return

    def _note(self, event: StackEvent) -> None:
        if event.type == STACK:
            self._last_event = event.status
        if event.failed:
            self._failures.append(event)
        if event.status == "DELETE_COMPLETE":  # also what could not be deleted at first
            self._deleted.add(event.physical_id)
        self._on_event(event)

    def raise_unless(self, wished: str, verb: str) -> None:
        """Raise Refused or StackFailed if it did not end as wished, LeftBehind if that left something behind."""
        if self._status == wished:
            left = [each for each in self._failures if each.type != STACK and each.physical_id not in self._deleted]
            if left:
                raise LeftBehind(self._name, list({each.physical_id: each for each in left}.values()))
            return
        own = [event for event in self._failures if event.type != STACK]
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

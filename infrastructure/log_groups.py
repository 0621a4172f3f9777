"""The log groups that a fleet's devices send to: as they are deployed, and as they are in the account."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os.path import commonprefix

from infrastructure.account import Account
from infrastructure.fleet import Fleet
from infrastructure.names import TAG

LOG_GROUP = "AWS::Logs::LogGroup"


@dataclass(frozen=True)
class LogGroup:
    """A log group as its stack's template has it."""

    name: str
    thing: str  # whose it is; "" for several
    stack: int
    retention: int | None


def deployed_groups(fleet: Fleet) -> Iterator[LogGroup]:
    """Yield the fleet's log groups, as deployed."""
    for stack in fleet.deployed.stacks.values():
        number = fleet.names.logs_stack_number(stack.name)
        for each in stack.template.get("Resources", {}).values() if number is not None else ():
            if each["Type"] == LOG_GROUP:
                what = each["Properties"]
                owner = str(each.get("Metadata", {}).get(TAG, ""))
                yield LogGroup(what["LogGroupName"], owner, number or 0, what.get("RetentionInDays"))


def days_text(days: int) -> str:
    """Return a number of days in words."""
    return f"{days} day" if days == 1 else f"{days} days"


def existing_groups(account: Account, names: Sequence[str]) -> dict[str, int | None]:
    """Return the retention of every log group in the account whose name begins as all these do."""
    prefix = commonprefix(list(names))
    asked = {"logGroupNamePrefix": prefix} if prefix else {}
    pages = account.client("logs").get_paginator("describe_log_groups").paginate(**asked)
    return {each["logGroupName"]: each.get("retentionInDays") for page in pages for each in page["logGroups"]}

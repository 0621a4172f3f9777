"""What goes wrong in the emulator, and what takes its time: on demand, by account and action."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

faults: dict[str, list[dict[str, Any]]] = defaultdict(list)  # account to what goes wrong there
lags: dict[str, dict[str, float]] = defaultdict(dict)  # account to the seconds that an action takes


def find_fault(account: str, action: str, subject: str, by_stack: bool = False) -> dict[str, Any] | None:
    """Return what goes wrong with a call, if anything, and count it; a stack waits by itself where it is throttled."""
    for fault in faults[account]:
        named = fault["action"] in (action, f"{action.partition(':')[0]}:*", "*") and fault["subject"] in subject
        if named and fault["times"] != 0 and not (by_stack and fault["code"].startswith("Throttling")):
            fault["times"] -= 1
            return fault
    return None


def describe(fault: dict[str, Any], action: str, resource: str) -> str:
    """Return a fault's message, with the action and the resource that it names."""
    return str(fault["message"]).replace("{action}", action).replace("{resource}", resource)


def lag_of(account: str, action: str) -> float:
    """Return the seconds that a call takes in addition."""
    return lags[account].get(action, 0.0)


def mend(account: str) -> None:
    """Let nothing go wrong any more."""
    faults.pop(account, None)
    lags.pop(account, None)

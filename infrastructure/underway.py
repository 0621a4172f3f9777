"""A deployment that is under way already, an interrupted one's for instance: waited for, and shown."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from infrastructure.deployed import DeployedStack, refuse_stuck
from infrastructure.fleet import Fleet
from infrastructure.pacing import side_by_side
from infrastructure.registry import Registry, read_registry
from infrastructure.screen import Bar
from infrastructure.watch import STACK, StackEvent, Watch

STACKS_AT_ONCE = 4  # each watcher asks CloudFormation every three seconds


def read_idle(fleet: Fleet) -> tuple[Fleet, Registry]:
    """Return a fleet that nobody is at work on, as it is deployed, and what AWS IoT itself has of it.

    Whatever CloudFormation is doing to it is waited for; DeployError where that cannot end by itself.
    """
    while True:
        with ThreadPoolExecutor() as pool:
            registry = pool.submit(read_registry, fleet)
            fleet = fleet.read()
            found = registry.result()
        if not wait_for_others(fleet):
            return fleet, found


def wait_for_others(fleet: Fleet) -> bool:
    """Wait until CloudFormation has ended what it does to a fleet's stacks; tell whether there was anything."""
    for stack in fleet.deployed.stacks.values():
        refuse_stuck(stack, fleet.account.region)
    busy = [stack for stack in fleet.deployed.stacks.values() if stack.busy]
    with fleet.screen.bars():
        for _ in side_by_side(lambda stack: _wait(fleet, stack), busy, STACKS_AT_ONCE):
            pass
    return bool(busy)


def _wait(fleet: Fleet, stack: DeployedStack) -> None:
    with fleet.screen.bar(stack.name, 0) as bar:
        bar.say(f"another deployment is under way ({stack.status}); waiting for it to end")
        status = Watch(fleet.account, stack.id, stack.name, _teller(bar)).until_idle()
        bar.say(f"it has ended ({status})")


def _teller(bar: Bar) -> Callable[[StackEvent], None]:
    """Return what tells of what the other deployment has done."""

    def tell(event: StackEvent) -> None:
        if event.type != STACK and event.status.endswith(("_COMPLETE", "_FAILED")):
            bar.say(f"{event.logical_id} {event.status}")

    return tell

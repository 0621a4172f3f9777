"""Who is in the fleet's thing group; no CloudFormation resource type puts a thing there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from infrastructure.account import found
from infrastructure.errors import DeployError
from infrastructure.pacing import paced

# AWS takes 100 AddThingToThingGroup a second in an account; others may need some of them.
ADDITIONS = 50.0


def add_members(iot: Any, group: str, things: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Put things into the group, and yield each with whether there is such a thing; being in it already is no error.

    DeployError if there is no such group.
    """

    def add(thing: str) -> bool:
        answer = found(iot.add_thing_to_thing_group, thingGroupName=group, thingName=thing, overrideDynamicGroups=False)
        if answer is None and found(iot.describe_thing, thingName=thing) is not None:
            raise DeployError(
                f"the thing group {group} was deleted by hand: make it again with `aws iot create-thing-group "
                f"--thing-group-name {group}`, then run this again"
            )
        return answer is not None

    yield from paced(add, things, ADDITIONS)

"""What was changed by hand since the deployment, and CloudFormation does not see."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from infrastructure.account import found
from infrastructure.deployed import DeployedThing
from infrastructure.registry import Registry


@dataclass(frozen=True)
class Drift:
    """Something that was changed by hand, so that a device can not report."""

    thing: str
    says: str
    rotation_mends: bool = False

    def __str__(self) -> str:
        return f"{self.thing}: {self.says}"


def find_drift(iot: Any, things: Iterable[DeployedThing], registry: Registry) -> list[Drift]:
    """Return what keeps deployed things from reporting, one finding for a thing at most."""
    return [drift for thing in things if (drift := _drift_of(iot, thing, registry)) is not None]


def _drift_of(iot: Any, thing: DeployedThing, registry: Registry) -> Drift | None:
    status = registry.certificates.get(thing.certificate_id)
    if status is None:
        return Drift(thing.name, "its certificate was deleted; --rotate makes a new one", rotation_mends=True)
    if status != "ACTIVE":
        activate = f"aws iot update-certificate --certificate-id {thing.certificate_id} --new-status ACTIVE"
        return Drift(thing.name, f"its certificate is {status}; --rotate makes a new one, or `{activate}`", True)
    if thing.certificate_id not in registry.policy_targets:
        return Drift(thing.name, "the policy was detached from its certificate; --rotate makes a new one", True)
    if thing.name not in registry.members and found(iot.describe_thing, thingName=thing.name) is None:
        again = "take it out of the list, deploy, and list it again"
        return Drift(thing.name, f"the thing itself was deleted; {again}")
    return None

"""What was changed by hand since the deployment, and CloudFormation does not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infrastructure.account import Account, found
from infrastructure.deployed import DeployedThing
from infrastructure.errors import DeployError
from infrastructure.fleet import Fleet
from infrastructure.pacing import paced
from infrastructure.registry import Registry

DELETED = "its certificate was deleted; --rotate makes a new one"
CERTIFICATES = 8.0  # DescribeCertificate a second, of which AWS takes 10 in an account
THINGS = 50.0  # DescribeThing a second, of which AWS takes 350 in an account


@dataclass(frozen=True)
class Drift:
    """Something that was changed by hand, so that a device cannot report."""

    thing: str
    says: str
    rotation_repairs: bool = False

    def __str__(self) -> str:
        return f"{self.thing}: {self.says}"


def refuse_missing(fleet: Fleet, registry: Registry) -> None:
    """Raise DeployError if what all things share was deleted by hand, so that no certificate and no thing has it."""
    stack = fleet.deployed.stack(fleet.names.fleet_stack)
    if stack is not None and stack.exists and registry.missing:
        missing = " and ".join(f"the {part} {fleet.names.policy}" for part in registry.missing)
        were = "was" if len(registry.missing) == 1 else "were"
        raise DeployError(
            f"{missing} {were} deleted by hand, and with it what certificates and things had of it: give this up with "
            "--destroy, then deploy again; all devices need their new bundles then"
        )


def find_drift(fleet: Fleet, things: Sequence[DeployedThing], registry: Registry) -> list[Drift]:
    """Return what keeps deployed things from reporting, one finding for a thing at most.

    AWS's lists may be behind; so whatever seems to be wrong is looked at by itself.
    """
    suspects = [thing for thing in things if not _is_listed(thing, registry)]
    looks = paced(lambda thing: _drift_of_certificate(fleet, thing, registry), suspects, CERTIFICATES)
    found_drift = {thing.name: drift for thing, drift in looks if drift is not None}
    outside = [thing for thing in things if thing.name not in {*registry.members, *found_drift}]
    looks = paced(lambda thing: _drift_of_thing(fleet.account, thing), outside, THINGS)
    found_drift |= {thing.name: drift for thing, drift in looks if drift is not None}
    return [found_drift[thing.name] for thing in things if thing.name in found_drift]


def _is_listed(thing: DeployedThing, registry: Registry) -> bool:
    """Tell whether AWS's lists have a thing's certificate as it should be."""
    active = registry.certificates.get(thing.certificate_id) == "ACTIVE"
    return active and thing.certificate_id in registry.policy_targets


def _drift_of_certificate(fleet: Fleet, thing: DeployedThing, registry: Registry) -> Drift | None:
    if not thing.certificate_id:
        return Drift(thing.name, "its stack does not tell its certificate; --rotate makes a new one", True)
    certificate = found(fleet.account.iot.describe_certificate, certificateId=thing.certificate_id)
    if certificate is None:
        return Drift(thing.name, DELETED, rotation_repairs=True)
    status = certificate["certificateDescription"]["status"]
    if status != "ACTIVE":
        activate = f"aws iot update-certificate --certificate-id {thing.certificate_id} --new-status ACTIVE"
        return Drift(thing.name, f"its certificate is {status}; --rotate makes a new one, or `{activate}`", True)
    if thing.certificate_id not in registry.policy_targets and not _has_policy(fleet, thing):
        return Drift(thing.name, "the policy was detached from its certificate; --rotate makes a new one", True)
    return None


def _drift_of_thing(account: Account, thing: DeployedThing) -> Drift | None:
    if found(account.iot.describe_thing, thingName=thing.name) is not None:
        return None
    return Drift(thing.name, "the thing itself was deleted; take it out of the list, deploy, and list it again")


def _has_policy(fleet: Fleet, thing: DeployedThing) -> bool:
    arn = fleet.account.certificate_arn(thing.certificate_id)
    answer = fleet.account.iot.list_attached_policies(target=arn)
    return fleet.names.policy in {policy["policyName"] for policy in answer["policies"]}

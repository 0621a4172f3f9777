"""What AWS IoT itself has of a fleet, whatever its stacks say."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from infrastructure.account import found
from infrastructure.errors import DeployError
from infrastructure.fleet import Fleet
from infrastructure.pacing import paced

PAGE = 250  # the most that one answer lists
LOOKS = 50.0  # DescribeThing a second, of which AWS takes 350 in an account


@dataclass(frozen=True)
class Registry:
    """What is registered in the account and region."""

    certificates: dict[str, str]  # certificate id to its status: ACTIVE, INACTIVE, REVOKED ...
    policy_targets: frozenset[str]  # the ids of the certificates that have the fleet's policy
    members: frozenset[str]  # the things in the fleet's group
    missing: tuple[str, ...] = ()  # which of "policy" and "thing group" there is none of


def read_registry(fleet: Fleet) -> Registry:
    """Return what is registered; the account's other certificates are among them."""
    iot, names = fleet.account.iot, fleet.names
    with ThreadPoolExecutor() as pool:
        certificates = pool.submit(read_certificates, iot)
        targets = pool.submit(read_policy_targets, iot, names.policy)
        members = pool.submit(read_members, iot, names.group)
        parts = {"policy": targets.result(), "thing group": members.result()}
        own = frozenset(arn.rpartition(":cert/")[2] for arn in parts["policy"] or ())
        missing = tuple(part for part, found_in in parts.items() if found_in is None)
        return Registry(certificates.result(), own, parts["thing group"] or frozenset(), missing)


def read_certificates(iot: Any) -> dict[str, str]:
    """Return the status of every certificate by its id."""
    pages = iot.get_paginator("list_certificates").paginate(PaginationConfig={"PageSize": PAGE})
    return {each["certificateId"]: each["status"] for page in pages for each in page["certificates"]}


def read_policy_targets(iot: Any, policy: str) -> frozenset[str] | None:
    """Return the ARNs that a policy is attached to, of certificates mostly; None where there is no such policy."""
    paginator = iot.get_paginator("list_targets_for_policy")
    pages = paginator.paginate(policyName=policy, PaginationConfig={"PageSize": PAGE})
    targets: frozenset[str] | None = found(lambda: frozenset(arn for page in pages for arn in page.get("targets", [])))
    return targets


def read_members(iot: Any, group: str) -> frozenset[str] | None:
    """Return the names of the things in a group; None where there is no such group."""
    paginator = iot.get_paginator("list_things_in_thing_group")
    pages = paginator.paginate(thingGroupName=group, PaginationConfig={"PageSize": PAGE})
    members: frozenset[str] | None = found(lambda: frozenset(thing for page in pages for thing in page["things"]))
    return members


def refuse_foreign_things(iot: Any, new: Iterable[str]) -> None:
    """Raise DeployError if a thing that is to be created exists, which is then not of this fleet."""
    looks = paced(lambda thing: found(iot.describe_thing, thingName=thing), new, LOOKS)
    foreign = [thing for thing, description in looks if description is not None]
    if foreign:
        raise DeployError(
            f"{', '.join(foreign)}: exists in this account already, outside this fleet; take it out of the list, or "
            f"delete it first (`aws iot delete-thing --thing-name {foreign[0]}`)"
        )

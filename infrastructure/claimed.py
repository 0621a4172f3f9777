"""The end of things that provisioned themselves: no stack holds them, so they go by calls, and only when agreed to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infrastructure.account import found
from infrastructure.errors import DeployError
from infrastructure.fleet import Fleet
from infrastructure.pacing import paced
from infrastructure.registry import read_policy_targets

DELETIONS = 4.0  # things a second: each takes two calls for its certificate, of which AWS takes 10 a second


def refuse_few(things: Sequence[str], most: int | None) -> None:
    """Raise DeployError if more things provisioned themselves than may be deleted; `most` None deletes none."""
    if most is not None and len(things) > most:
        raise DeployError(
            f"{len(things)} things provisioned themselves, which is more than --delete-at-most {most}: give "
            f"--delete-at-most {len(things)} to delete them with the fleet, or leave it out to leave them"
        )


def delete_things(fleet: Fleet, things: Sequence[str]) -> None:
    """Delete things that provisioned themselves, with their certificates."""
    if not things:
        return
    with fleet.screen.bar("things", len(things)) as bar:
        for thing, _ in paced(lambda thing: _delete(fleet, thing), things, DELETIONS):
            bar.step(f"{thing} deleted")


def detach_rotation_policy(fleet: Fleet) -> None:
    """Take the policy for rotations off all certificates that have it, or it cannot be deleted."""
    policy = fleet.names.rotation_policy
    targets = read_policy_targets(fleet.account.iot, policy) or frozenset()
    detach = lambda target: found(fleet.account.iot.detach_policy, policyName=policy, target=target)  # noqa: E731
    for _ in paced(detach, sorted(targets), DELETIONS * 2):
        pass


def _delete(fleet: Fleet, thing: str) -> None:
    """Delete a thing; whatever of it is gone already is no error."""
    iot = fleet.account.iot
    for arn in _principals(fleet, thing):
        certificate = arn.partition(":cert/")[2]
        found(iot.detach_thing_principal, thingName=thing, principal=arn)
        if certificate and found(iot.update_certificate, certificateId=certificate, newStatus="INACTIVE") is not None:
            found(iot.delete_certificate, certificateId=certificate, forceDelete=True)
    found(iot.delete_thing, thingName=thing)


def _principals(fleet: Fleet, thing: str) -> Iterator[str]:
    pages = fleet.account.iot.get_paginator("list_thing_principals").paginate(thingName=thing)
    yield from found(lambda: [arn for page in pages for arn in page["principals"]]) or ()

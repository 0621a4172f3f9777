from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("aws_cdk", "boto3", "rich")

from infrastructure.deployed import Deployed, DeployedStack, DeployedThing  # noqa: E402
from infrastructure.description import FleetStack, ThingsStack  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.names import TAG, Names  # noqa: E402
from infrastructure.placement import THINGS_PER_STACK  # noqa: E402
from infrastructure.plan import (  # noqa: E402
    Plan,
    StackPlan,
    ThingsPlan,
    change_of,
    find_rotated,
    make_plan,
    refuse_mass_deletion,
)
from tests.fakes.fake_account import make_fleet  # noqa: E402

NAMES = Names("lab")


def stack(name: str, digest: str = "", status: str = "CREATE_COMPLETE", reason: str = "") -> DeployedStack:
    template: dict[str, Any] = {"Metadata": {TAG: {"digest": digest}}} if digest else {}
    return DeployedStack(name, status, reason, {}, template)


def deployed(*stacks: dict[str, str], **others: DeployedStack) -> Deployed:
    """Return a fleet with these stacks of things (name to request), all as they should be."""
    found = {NAMES.fleet_stack: stack(NAMES.fleet_stack, FleetStack(NAMES).digest)}
    things = {}
    for number, requests in enumerate(stacks, start=1):
        name = NAMES.things_stack(number)
        found[name] = stack(name, ThingsStack(NAMES, number, requests).digest)
        things |= {thing: DeployedThing(thing, number, request, f"id-{thing}") for thing, request in requests.items()}
    return Deployed({**found, **{each.name: each for each in others.values()}}, things)


def plan(wanted: str, fleet: Deployed, rotate: Collection[str] = ()) -> Plan:
    return make_plan(make_fleet(NAMES, fleet), list(wanted), rotate)


def changes_of(plan: Plan) -> dict[str, str]:
    return {each.name.removeprefix("lab-"): each.change for each in (plan.fleet, *plan.stacks)}


def test_at_first_everything_is_created() -> None:
    expected = Plan(
        fleet=StackPlan("lab-fleet", "create"),
        stacks=(ThingsPlan("lab-things-1", "create", 1, ("b", "a")),),
        new=("b", "a"),
        kept=(),
        rotated=(),
        gone=(),
    )
    assert expected == plan("ba", Deployed())
    assert expected.changes


def test_what_is_as_it_should_be_stays_whatever_its_order_in_the_list() -> None:
    result = plan("ba", deployed({"a": "x", "b": "y"}))
    assert {"fleet": "keep", "things-1": "keep"} == changes_of(result)
    assert ((), ("b", "a"), False) == (result.new, result.kept, result.changes)


@pytest.mark.parametrize(
    ("wanted", "rotate", "expected"),
    [
        ("abcd", "", {"fleet": "keep", "things-1": "update", "things-2": "keep"}),
        ("ac", "", {"fleet": "keep", "things-1": "update", "things-2": "keep"}),
        ("ab", "", {"fleet": "keep", "things-1": "keep", "things-2": "delete"}),
        ("c", "", {"fleet": "keep", "things-1": "delete", "things-2": "keep"}),
        ("abc", "c", {"fleet": "keep", "things-1": "keep", "things-2": "update"}),
        ("d", "", {"fleet": "keep", "things-1": "update", "things-2": "delete"}),
    ],
)
def test_only_stacks_whose_things_change_are_touched(wanted: str, rotate: str, expected: dict[str, str]) -> None:
    result = plan(wanted, deployed({"a": "x", "b": "y"}, {"c": "z"}), tuple(rotate))
    assert expected == changes_of(result)
    assert result.changes


def test_each_thing_is_new_kept_rotated_or_gone() -> None:
    result = plan("dca", deployed({"a": "x", "b": "y", "c": "z"}), ["a", "c", "a"])
    assert (("d",), ("c", "a"), ("c", "a"), ("b",)) == (result.new, result.kept, result.rotated, result.gone)


def test_a_full_stack_is_followed_by_another() -> None:
    names = [f"t{number}" for number in range(THINGS_PER_STACK + 1)]
    result = make_plan(make_fleet(NAMES), names)
    assert [THINGS_PER_STACK, 1] == [len(each.things) for each in result.stacks]


def test_another_digest_updates_every_stack_though_no_thing_changes() -> None:
    fleet = deployed({"a": "x"}, {"b": "y"})
    other = Deployed({name: stack(name, "of another release") for name in fleet.stacks}, fleet.things)
    assert {"fleet": "update", "things-1": "update", "things-2": "update"} == changes_of(plan("ab", other))


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"])
def test_a_ruin_is_made_again_where_it_is_needed_and_else_deleted(status: str) -> None:
    first, second = stack("lab-things-1", status=status), stack("lab-things-2", status=status)
    result = plan("a", deployed(first=first, second=second))
    assert {"fleet": "keep", "things-1": "recreate", "things-2": "delete"} == changes_of(result)
    assert ("a",) == result.new


def test_a_stack_that_was_never_executed_is_created_where_it_is_needed_and_else_deleted() -> None:
    first = stack("lab-things-1", status="REVIEW_IN_PROGRESS")
    second = stack("lab-things-2", status="REVIEW_IN_PROGRESS")
    result = plan("a", deployed(first=first, second=second))
    assert {"fleet": "keep", "things-1": "create", "things-2": "delete"} == changes_of(result)


@pytest.mark.parametrize(
    ("rotate", "expected"),
    [
        (["x"], "--rotate: x is not listed"),
        (["y", "x", "a"], "--rotate: x, y are not listed"),
        (["n"], "--rotate: n is not deployed yet"),
        (["n", "m"], "--rotate: m, n are not deployed yet"),
    ],
)
def test_only_what_is_listed_and_deployed_can_be_rotated(rotate: list[str], expected: str) -> None:
    with pytest.raises(DeployError) as raised:
        plan("anm", deployed({"a": "x"}), rotate)
    assert expected == str(raised.value)


def test_a_rotation_that_failed_left_the_old_certificate() -> None:
    before = deployed({"a": "x", "b": "y", "c": "z"})
    after = deployed({"a": "new", "b": "y", "c": "z"})
    assert ["a"] == find_rotated(plan("abc", before, ["a", "b"]), before, after)


def half_deleted(name: str, digest: str, reason: str = "") -> DeployedStack:
    return stack(name, digest, "DELETE_FAILED", reason)


@pytest.mark.parametrize("digest", [FleetStack(NAMES).digest, "another"])
def test_a_half_deleted_stack_is_neither_kept_nor_updated(digest: str) -> None:
    fleet = Deployed({"lab-fleet": half_deleted("lab-fleet", digest, "The policy is in use")})
    expected = (
        "the stack lab-fleet is half deleted (The policy is in use): delete the rest with `aws cloudformation "
        "delete-stack --stack-name lab-fleet`, then run this again"
    )
    with pytest.raises(DeployError) as raised:
        change_of(fleet, "lab-fleet", FleetStack(NAMES).digest)
    assert expected == str(raised.value)


def test_a_half_deleted_stack_of_things_that_are_gone_is_deleted_to_its_end() -> None:
    fleet = deployed({"a": "x"}, {"b": "y"})
    name = NAMES.things_stack(2)
    stacks = {**fleet.stacks, name: half_deleted(name, "d")}
    assert "delete" == changes_of(plan("a", Deployed(stacks, fleet.things)))["things-2"]


def fleet_of(count: int) -> Deployed:
    return Deployed({}, {f"t{number}": DeployedThing(f"t{number}", 1, "", "") for number in range(count)})


@pytest.mark.parametrize(
    ("things", "gone", "most", "refused"),
    [
        (1, 1, None, False),
        (2, 2, None, True),
        (19, 1, None, False),
        (19, 2, None, True),
        (20, 2, None, False),
        (20, 20, None, True),
        (20, 20, 20, False),
        (20, 3, 2, True),
        (20, 1, 0, True),
        (20, 0, 0, False),
    ],
)
def test_more_than_a_tenth_is_not_deleted_unasked(things: int, gone: int, most: int | None, refused: bool) -> None:
    before = fleet_of(things)
    left = list(before.things)[gone:] or ["new"]
    plan = make_plan(make_fleet(NAMES, before), left)
    if not refused:
        return refuse_mass_deletion(plan, before, most)
    with pytest.raises(DeployError, match=f"{gone} of {things} things are no longer .* give --delete-at-most {gone}$"):
        refuse_mass_deletion(plan, before, most)
    return None

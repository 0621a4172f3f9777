"""All that is to be done to a fleet is planned in one go, from what is listed, asked for, deployed and registered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich", "aws_cdk", "cryptography")

from infrastructure.claim import ClaimAsked  # noqa: E402
from infrastructure.deployed import Deployed, DeployedStack, DeployedThing  # noqa: E402
from infrastructure.description import FleetStack, ThingsStack  # noqa: E402
from infrastructure.drift import Drift  # noqa: E402
from infrastructure.engine import EnginePlan  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.fleet import Fleet  # noqa: E402
from infrastructure.names import TAG  # noqa: E402
from infrastructure.plan import Plan, StackPlan  # noqa: E402
from infrastructure.plans import Plans, Wishes, make_plans  # noqa: E402
from infrastructure.registry import Registry, read_registry  # noqa: E402
from infrastructure.rotation import Wish  # noqa: E402
from infrastructure.serials import Serial, SerialList  # noqa: E402
from infrastructure.sizing import Size  # noqa: E402
from infrastructure.sources import Wanted  # noqa: E402
from tests.fakes.fake_account import certificate_arn, make_account, make_screen, things_template  # noqa: E402
from tests.infrastructure.claims import NAMES, ClaimIot, claim_stack  # noqa: E402
from tests.infrastructure.test_rotation import Shadows  # noqa: E402
from tests.infrastructure.test_serial_table import FakeTable  # noqa: E402

WISHES = Wishes((), detect=False, alert_email=None, cloudwatch=None, greengrass=None, component=Path("none"))
NOTHING = Plan(StackPlan("lab-fleet", "keep"), (), (), (), (), ())
BARE = Plans(NOTHING, (), (), None, None, None, None, None)
ENGINE = EnginePlan((), "bucket", "lab-engine", Size(1, 300.0, "process"))


def deployed(*things: str) -> Deployed:
    """Return a fleet of things, as a deployment leaves it."""
    requests = dict.fromkeys(things, "csr")
    shared, own = FleetStack(NAMES), ThingsStack(NAMES, 1, requests)
    template = things_template(requests, own.digest)
    outputs = {f"{thing}Certificate": f"of-{thing}" for thing in things}
    stacks = [
        DeployedStack("lab-fleet", "CREATE_COMPLETE", template={"Metadata": {TAG: {"digest": shared.digest}}}),
        DeployedStack("lab-things-1", "CREATE_COMPLETE", "", outputs, template),
    ]
    listed = {thing: DeployedThing(thing, 1, "csr", f"of-{thing}") for thing in things}
    return Deployed({each.name: each for each in stacks}, listed)


class World:
    """An account with a fleet of these things, in which all is as it was deployed."""

    def __init__(self, *things: str, claims: bool = False) -> None:
        self.iot = ClaimIot()
        self.iot.things = set(things)
        self.iot.certificates |= {f"of-{thing}": "ACTIVE" for thing in things}
        self.iot.policies["lab"] = {certificate_arn(f"of-{thing}") for thing in things}
        self.iot.groups["lab"] = set(things)
        self.shadows = Shadows()
        found = deployed(*things) if things else Deployed()
        self.deployed = replace(found, stacks={**found.stacks, **(claim_stack().stacks if claims else {})})

    def fleet(self) -> Fleet:
        account = make_account(iot=self.iot, dynamodb=FakeTable(), **{"iot-data": self.shadows})
        return Fleet(account, NAMES, make_screen()[0], self.deployed)

    def plan(self, *things: str, **wishes: Any) -> Plans:
        fleet = self.fleet()
        registry = read_registry(fleet) if self.deployed.stacks else Registry({}, frozenset(), frozenset())
        return make_plans(fleet, registry, wanted(*things), replace(WISHES, **wishes))


def wanted(*things: str) -> Wanted:
    return Wanted(Path("things.txt"), things, {"agent": {"instance": {"command": "cat serial"}}}, (), {})


def test_an_empty_account_gets_its_things_and_nothing_that_was_not_asked_for() -> None:
    found = World().plan("a", "b")
    assert (True, ("a", "b"), ["a", "b"]) == (found.changes, found.things.new, found.joining)
    assert [None] * 5 == [found.detect, found.cloudwatch, found.greengrass, found.claim, found.engine]


def test_where_all_is_as_it_should_be_nothing_is_to_be_done() -> None:
    found = World("a", "b").plan("a", "b")
    assert (False, [], [], []) == (found.changes, found.joining, found.drift, found.problems)


def test_detect_is_planned_unless_it_is_left_alone() -> None:
    found = World("a").plan("a", detect=True)
    assert found.detect is not None
    assert ("create", True) == (found.detect.change, found.changes)


def test_a_thing_outside_the_group_joins_it_unless_it_was_deleted() -> None:
    world = World("a", "b")
    world.iot.groups["lab"] = {"a"}
    found = world.plan("a", "b")
    assert (["b"], True) == (found.joining, found.changes)
    world.iot.things = {"a"}
    found = world.plan("a", "b")
    assert ([], ["b"]) == (found.joining, [each.thing for each in found.drift])
    assert "b: the thing itself was deleted" in str(found.problems[0])


def test_drift_that_a_rotation_repairs_is_no_problem_where_it_is_rotated() -> None:
    world = World("a", "b")
    del world.iot.certificates["of-a"], world.iot.certificates["of-b"]
    assert ["a", "b"] == [each.thing for each in world.plan("a", "b").drift]
    (left,) = world.plan("a", "b", rotate=("a",)).problems
    assert isinstance(left, Drift)
    assert "b" == left.thing


def test_drift_that_a_rotation_does_not_repair_stays_a_problem_where_it_is_rotated() -> None:
    world = World("a", "b")
    world.iot.things, world.iot.groups["lab"] = {"a"}, {"a"}
    found = world.plan("a", "b", rotate=("b",))
    assert (("b",), found.drift) == (found.things.rotated, found.problems)
    assert 1 == len(found.drift)


def test_a_thing_that_provisioned_itself_is_asked_and_one_of_the_list_gets_a_bundle() -> None:
    world = World("a", claims=True)
    world.iot.groups["lab"].add("dev-1")
    found = world.plan("a", rotate=("dev-1", "a"))
    assert (("a",), [Wish("dev-1")], True) == (found.things.rotated, found.rotating, found.changes)
    found = world.plan("a", rotate=("dev-1",))
    assert ((), True) == (found.things.rotated, found.changes), "an asking alone is something to be done"


def test_a_claim_is_planned_beside_the_things() -> None:
    asked = ClaimAsked(SerialList(Path("serials.txt"), (Serial("A1"),)))
    found = World("a").plan("a", claim=asked)
    assert found.claim is not None
    assert ("create", True) == (found.claim.stack.change, found.changes)


@pytest.mark.parametrize(
    ("hand", "things", "wishes", "says"),
    [
        (lambda iot: None, ("a",), {"rotate": ("x",)}, "--rotate: x is not listed"),
        (lambda iot: iot.things.add("new"), ("a", "new"), {}, "new: exists in this account already, outside this"),
        (lambda iot: iot.policies.pop("lab"), ("a",), {}, "the policy lab was deleted by hand"),
        (lambda iot: None, ("a",), {"claim": ClaimAsked()}, "--claim: which devices may provision themselves?"),
    ],
)
def test_what_cannot_be_or_must_not_is_refused(hand: Any, things: Any, wishes: dict[str, Any], says: str) -> None:
    world = World("a")
    hand(world.iot)
    with pytest.raises(DeployError) as raised:
        world.plan(*things, **wishes)
    assert str(raised.value).startswith(says)


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ({}, False),
        ({"joining": ["a"]}, True),
        ({"rotating": [Wish("a")]}, True),
        ({"things": replace(NOTHING, fleet=StackPlan("lab-fleet", "update"))}, True),
        ({"engine": ENGINE}, False),
        ({"engine": replace(ENGINE, starts=True)}, True),
    ],
)
def test_one_part_that_changes_is_a_change(part: dict[str, Any], changes: bool) -> None:
    assert changes == replace(BARE, **part).changes


def test_what_a_part_does_not_repair_is_a_problem() -> None:
    problem = DeployError("the rule is disabled")
    assert [problem] == replace(BARE, engine=replace(ENGINE, drift=(problem,))).problems

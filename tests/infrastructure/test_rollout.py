from __future__ import annotations

import json
import sys
import threading
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("aws_cdk", "boto3", "cryptography", "rich")

from infrastructure import membership, watch  # noqa: E402
from infrastructure.deployed import read_deployed  # noqa: E402
from infrastructure.description import DetectStack, StackDescription, ThingsStack  # noqa: E402
from infrastructure.detect import DetectPlan  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.fleet import Fleet  # noqa: E402
from infrastructure.keys import KeyStore  # noqa: E402
from infrastructure.names import TAG, Names  # noqa: E402
from infrastructure.plan import make_plan  # noqa: E402
from infrastructure.rollout import Rollout, attempt  # noqa: E402
from infrastructure.watch import LeftBehind, StackEvent  # noqa: E402
from tests.fakes.fake_account import FakeIot, make_account, make_screen, things_template  # noqa: E402
from tests.fakes.fake_cloudformation import FakeCloudFormation, refuse  # noqa: E402

NAMES = Names("lab")
POLICY = {"Policy": {"Type": "AWS::IoT::Policy"}}
METRIC = {"CpuMetric": {"Type": "AWS::IoT::CustomMetric", "Properties": {"MetricName": "cpu_usage"}}}


class Machine:
    """A fleet in an account, and the machine that it is deployed from."""

    def __init__(self, directory: Path) -> None:
        self.aws, self.iot = FakeCloudFormation(), FakeIot()
        self.account = make_account(self.aws, self.iot)
        self.store = KeyStore(directory)
        self.described: list[StackDescription] = []
        self.screen, self.printed = make_screen()

    def synthesize(self, descriptions: Sequence[StackDescription]) -> dict[str, str]:
        """Make templates as synthesis.py does, without aws_cdk."""
        self.described += descriptions
        return {each.stack_name: json.dumps(self.template(each)) for each in descriptions}

    @staticmethod
    def template(description: StackDescription) -> dict[str, Any]:
        if isinstance(description, ThingsStack):
            return things_template(dict(description.requests), description.digest)
        resources = METRIC if isinstance(description, DetectStack) else POLICY
        return {"Metadata": {TAG: {"digest": description.digest}}, "Resources": resources}

    def fleet(self) -> Fleet:
        return Fleet(self.account, NAMES, self.screen).read()

    def run(self, wanted: str, rotate: str = "", detect: DetectPlan | None = None, joining: str = "") -> list[str]:
        fleet = self.fleet()
        plan, rollout = make_plan(fleet, list(wanted), list(rotate)), Rollout(fleet, self.store)
        self.iot.groups.setdefault("lab", set())
        self.iot.things |= set(wanted)
        return [str(error) for error in rollout.run(plan, detect, list(joining or wanted))]

    def request(self, thing: str) -> str:
        return str(self.fleet().deployed.things[thing].request)

    @property
    def lines(self) -> list[str]:
        return self.printed.getvalue().splitlines()


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    fleet = Machine(tmp_path / "fleet")
    synthesis = types.ModuleType("infrastructure.synthesis")
    synthesis.synthesize = fleet.synthesize  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "infrastructure.synthesis", synthesis)
    monkeypatch.setattr("infrastructure.plan.place", lambda wanted, placed: place_two(wanted, placed))
    monkeypatch.setattr(watch, "SOONEST", 0.0)
    monkeypatch.setattr(membership, "ADDITIONS", 1000.0)
    return fleet


def place_two(wanted: Sequence[str], placed: Any) -> dict[str, int]:
    from infrastructure.placement import place

    return place(wanted, placed, most=2)


def detect_plan(change: str = "create", problem: DeployError | None = None) -> DetectPlan:
    return DetectPlan("lab-detect", change, DetectStack(NAMES, (), {"cpu_usage": "number"}), problem=problem)


def test_a_fleet_is_created_and_joins_its_group(fleet: Machine) -> None:
    assert [] == fleet.run("abc", detect=detect_plan())
    assert {"lab-fleet", "lab-things-1", "lab-things-2", "lab-detect"} == {
        each.name for each in fleet.aws.stacks.values()
    }
    assert {"lab": {"a", "b", "c"}} == fleet.iot.groups
    assert fleet.store.request("a") == fleet.request("a")
    assert "lab-things-1: a has its certificate (1 of 2)" in fleet.lines
    assert "group lab: c joined (3 of 3)" in fleet.lines


def test_what_stays_is_neither_described_nor_touched(fleet: Machine) -> None:
    fleet.run("abc")
    fleet.described.clear()
    calls = len(fleet.aws.calls)
    assert [] == fleet.run("abc", detect=detect_plan("keep"))
    assert [] == fleet.described
    assert {"describe_stacks", "get_template"} == set(fleet.aws.calls[calls:])


def test_a_second_machine_replaces_no_certificate(fleet: Machine, tmp_path: Path) -> None:
    fleet.run("ab")
    before = fleet.request("a")
    fleet.store = KeyStore(tmp_path / "second")
    fleet.run("abc")
    fleet.run("bc")
    fleet.run("abc")
    assert before != fleet.request("a")  # it went, and came back with another key
    fleet.store = KeyStore(tmp_path / "third")
    before = fleet.request("b")
    fleet.run("b")
    assert before == fleet.request("b")


def test_only_rotated_things_have_another_request_and_each_is_told_once(fleet: Machine) -> None:
    fleet.run("ab")
    before = {thing: fleet.request(thing) for thing in "ab"}
    assert [] == fleet.run("ab", rotate="a")
    assert before["a"] != fleet.request("a")
    assert before["b"] == fleet.request("b")
    assert fleet.store.renew("a") == fleet.request("a")  # the key that waits for its certificate
    assert ["lab-things-1: a has a new certificate (1 of 1)"] == [line for line in fleet.lines if "new cert" in line]


def test_a_replaced_certificates_end_is_no_step(fleet: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.run("a")
    settle = FakeCloudFormation._settle

    def settle_and_clean_up(aws: FakeCloudFormation, stack: Any, touched: Any, *ends: str) -> bool:
        failed = settle(aws, stack, touched, *ends)
        event = stack.events.pop(0)
        aws._tell(stack, "aCertificate", "AWS::IoT::Certificate", "DELETE_COMPLETE")
        stack.events.insert(0, event)
        return failed

    monkeypatch.setattr(FakeCloudFormation, "_settle", settle_and_clean_up)
    assert [] == fleet.run("a", rotate="a")
    assert "lab-things-1: a has a new certificate (1 of 1)" in fleet.lines
    assert not any("deleted" in line for line in fleet.lines)


def test_things_that_are_gone_are_deleted_with_their_certificates(fleet: Machine) -> None:
    fleet.run("abc")
    assert [] == fleet.run("a")
    assert {"a"} == set(read_deployed(fleet.account, NAMES).things)
    assert fleet.aws.stack("lab-things-2") is None
    assert "lab-things-1: b its certificate is deleted (1 of 1)" in fleet.lines
    assert "lab-things-2: c its certificate is deleted (1 of 1)" in fleet.lines


def test_a_stack_that_fails_holds_up_no_other_and_its_things_do_not_join(fleet: Machine) -> None:
    fleet.aws.fails["bThing"] = "already exists"
    problems = fleet.run("abc", detect=detect_plan())
    assert ["the stack lab-things-1 could not be created: bThing: already exists"] == problems
    assert {"lab": {"c"}} == fleet.iot.groups
    assert fleet.aws.stack("lab-detect") is not None
    assert "lab-things-1: bThing: already exists" in fleet.lines


def test_the_rest_is_done_though_the_fleets_own_stack_left_something_behind(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(account: Any, name: str, *rest: Any) -> None:
        if name == "lab-fleet":
            raise LeftBehind(name, [StackEvent(name, "Old", "old", "AWS::IoT::Policy", "DELETE_FAILED", "in use")])

    monkeypatch.setattr("infrastructure.rollout.apply_template", leave)
    (problem,) = fleet.run("a")
    assert "to be deleted by hand: old (AWS::IoT::Policy): in use" in problem
    assert {"lab": {"a"}} == fleet.iot.groups


def test_things_join_though_an_old_certificate_was_left_behind(fleet: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(account: Any, name: str, *rest: Any) -> None:
        if "-things-" in name:
            event = StackEvent(name, "aCertificate", "c1", "AWS::IoT::Certificate", "DELETE_FAILED", "in use")
            raise LeftBehind(name, [event])

    monkeypatch.setattr("infrastructure.rollout.apply_template", leave)
    (problem,) = fleet.run("a")
    assert "this is left, to be deleted by hand: c1 (AWS::IoT::Certificate): in use" in problem
    assert {"lab": {"a"}} == fleet.iot.groups


def test_what_is_rolled_back_is_no_step(fleet: Machine) -> None:
    fleet.aws.fails["aCertificate"] = "no"
    assert fleet.run("a")
    assert [
        "lab-things-1: a: no",
        "lab-things-1: rolling back",
    ] == [line for line in fleet.lines if line.startswith("lab-things-1")]


def test_without_the_fleets_own_stack_nothing_else_is_tried(fleet: Machine) -> None:
    fleet.aws.fails["Policy"] = "Limit exceeded"
    with pytest.raises(DeployError, match="lab-fleet could not be created: Policy: Limit exceeded"):
        fleet.run("a", detect=detect_plan())
    assert ["lab-fleet"] == [each.name for each in fleet.aws.stacks.values()]


def test_a_failed_rotation_leaves_the_old_request_and_continues_with_the_same_key(fleet: Machine) -> None:
    fleet.run("a")
    before = fleet.request("a")
    fleet.aws.fails["aCertificate"] = "no"
    assert fleet.run("a", rotate="a")
    assert before == fleet.request("a")
    waiting = fleet.store.renew("a", before)
    fleet.aws.fails.clear()
    assert [] == fleet.run("a", rotate="a")
    assert waiting == fleet.request("a")


@pytest.mark.parametrize(
    ("detect", "expected"),
    [
        (None, []),
        (detect_plan("keep"), []),
        (detect_plan("update", DeployError("Detect has a problem")), ["Detect has a problem"]),
    ],
)
def test_detect_is_left_alone_where_it_is_to_be(fleet: Machine, detect: DetectPlan | None, expected: list[str]) -> None:
    assert expected == fleet.run("a", detect=detect)
    assert fleet.aws.stack("lab-detect") is None


def test_detects_refusal_comes_last_and_holds_up_nothing(fleet: Machine) -> None:
    fleet.aws.fails["CpuMetric"] = "Access denied for operation 'AWS::IoT::CustomMetric'."
    (problem,) = fleet.run("a", detect=detect_plan())
    assert "AWS closed Detect to new customers on 31 August 2026" in problem
    assert {"lab": {"a"}} == fleet.iot.groups


def test_a_thing_that_does_not_exist_any_more_is_told_and_does_not_join(fleet: Machine) -> None:
    fleet.run("ab")
    assert [] == fleet.run("ab", joining="xa")
    assert "group lab: x no longer exists (1 of 2)" in fleet.lines


def test_a_group_that_cannot_be_joined_is_a_problem_and_detect_goes_on(fleet: Machine) -> None:
    fleet.iot.errors["add_thing_to_thing_group"] = refuse("LimitExceededException", "no", "AddThingToThingGroup")
    assert ["AWS answered AddThingToThingGroup with LimitExceededException: no"] == fleet.run("a", detect=detect_plan())
    assert fleet.aws.stack("lab-detect") is not None


def test_stacks_of_things_are_made_side_by_side(fleet: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2, timeout=5)
    monkeypatch.setattr(
        "infrastructure.rollout.apply_template",
        lambda account, name, *rest: together.wait() if "-things-" in name else None,
    )
    assert [] == fleet.run("abc")


def test_an_attempt_returns_its_sentence_and_lets_what_is_unforeseen_out() -> None:
    def fail(error: Exception) -> None:
        raise error

    problem = DeployError("x")
    assert attempt(lambda: None) is None
    assert attempt(lambda: fail(problem)) is problem
    assert "AWS answered Operation with LimitExceededException: x" == str(
        attempt(lambda: fail(refuse("LimitExceededException", "x")))
    )
    with pytest.raises(ZeroDivisionError):
        attempt(lambda: fail(ZeroDivisionError()))

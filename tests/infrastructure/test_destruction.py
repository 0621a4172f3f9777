from __future__ import annotations

from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich")

from infrastructure import destruction, watch  # noqa: E402
from infrastructure.destruction import PAUSES, destroy, find_strangers  # noqa: E402
from infrastructure.fleet import Fleet  # noqa: E402
from infrastructure.names import Names  # noqa: E402
from tests.fakes.fake_account import (  # noqa: E402
    FakeIot,
    certificate_arn,
    make_account,
    make_fleet,
    make_screen,
    things_template,
)
from tests.fakes.fake_cloudformation import FakeCloudFormation  # noqa: E402

NAMES = Names("lab")
ATTACHED = "The policy cannot be deleted as the policy is attached to one or more principals (name=lab)"
DETECT: dict[str, Any] = {
    "Resources": {
        "CpuMetric": {"Type": "AWS::IoT::CustomMetric", "Properties": {"MetricName": "cpu_usage"}},
        "OurProfile": {"Type": "AWS::IoT::SecurityProfile", "Properties": {"SecurityProfileName": "ours"}},
    }
}


class Doomed:
    """A deployed fleet of a policy, a thing and Detect."""

    def __init__(self) -> None:
        self.aws, self.iot = FakeCloudFormation(), FakeIot()
        self.account = make_account(self.aws, self.iot)
        self.aws.add("lab-fleet", template={"Resources": {"Policy": {"Type": "AWS::IoT::Policy"}}})
        self.aws.add("lab-things-1", template=things_template({"a": "csr"}))
        self.aws.add("lab-detect", template=DETECT)
        self.aws.add("other-fleet", template={"Resources": {"Policy": {"Type": "AWS::IoT::Policy"}}})
        self.iot.policies = {"lab": {certificate_arn("id-of-aCertificate")}}

    def destroy(self, *pauses: float) -> list[str]:
        screen, printed = make_screen()
        fleet = Fleet(self.account, NAMES, screen).read()
        problems = destroy(fleet, find_strangers(fleet), pauses)
        self.printed = printed.getvalue()
        return [str(problem) for problem in problems]

    @property
    def left(self) -> list[str]:
        return sorted(each.name for each in self.aws.stacks.values() if each.status != "DELETE_COMPLETE")


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Doomed:
    monkeypatch.setattr(watch, "SOONEST", 0.0)
    return Doomed()


def test_all_of_the_fleet_goes_and_nothing_else_its_policy_last(fleet: Doomed) -> None:
    assert [] == fleet.destroy()
    assert ["other-fleet"] == fleet.left
    deleted = [each for each in fleet.aws.stacks.values() if each.status == "DELETE_COMPLETE"]
    order = [each.name for each in sorted(deleted, key=lambda each: int(each.events[0]["EventId"]))]
    assert "lab-fleet" == order[-1]
    assert "lab-things-1: physical-aThing deleted" in fleet.printed


def test_ruins_and_stacks_that_were_never_executed_go_as_well(fleet: Doomed) -> None:
    fleet.aws.add("lab-things-2", "ROLLBACK_COMPLETE")
    fleet.aws.add("lab-things-3", "REVIEW_IN_PROGRESS")
    fleet.aws.add("lab-things-4", "DELETE_FAILED", things_template({"b": "csr"}))
    assert [] == fleet.destroy()
    assert ["other-fleet"] == fleet.left


def test_what_others_attached_to_the_policy_is_found_and_detached(fleet: Doomed) -> None:
    group = "arn:aws:iot:eu-west-1:123456789012:thinggroup/doors"
    fleet.iot.policies["lab"] |= {certificate_arn("foreign"), group}
    assert [certificate_arn("foreign"), group] == find_strangers(make_fleet(NAMES, None, fleet.aws, fleet.iot).read())
    assert [] == fleet.destroy()
    assert {"lab": {certificate_arn("id-of-aCertificate")}} == fleet.iot.policies


def test_while_things_are_left_the_policy_stays(fleet: Doomed) -> None:
    fleet.aws.fails["aThing"] = "no"
    assert ["the stack lab-things-1 could not be deleted: aThing: no"] == fleet.destroy()
    assert ["lab-fleet", "lab-things-1", "other-fleet"] == fleet.left


def test_what_fails_is_tried_again_until_it_works(fleet: Doomed, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.aws.fails["Policy"] = ATTACHED
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if slept == [5.0, 15.0]:
            fleet.aws.fails.clear()

    monkeypatch.setattr(destruction.time, "sleep", lambda seconds: sleep(seconds) if seconds else None)
    assert [] == fleet.destroy(*PAUSES)
    assert [5.0, 15.0] == slept
    assert f"lab-fleet: the stack lab-fleet could not be deleted: Policy: {ATTACHED}; trying again in 5 s" in (
        fleet.printed.splitlines()
    )


def test_the_last_try_tells_why(fleet: Doomed) -> None:
    fleet.aws.fails["Policy"] = ATTACHED
    assert [f"the stack lab-fleet could not be deleted: Policy: {ATTACHED}"] == fleet.destroy(0.0, 0.0)
    assert 3 == fleet.aws.calls.count("delete_stack") - 2


def test_a_permission_that_is_missing_is_told_without_trying_again(fleet: Doomed) -> None:
    fleet.aws.fails["Policy"] = "User: x is not authorized to perform: iot:DeletePolicy on resource: y"
    (problem,) = fleet.destroy(1000.0)
    assert "the permission iot:DeletePolicy is missing" in problem


def test_a_metric_that_others_use_is_left_behind_and_they_are_named(fleet: Doomed) -> None:
    fleet.aws.fails["CpuMetric"] = "in use"
    fleet.iot.profiles = {"theirs": {"cpu_usage"}}
    assert [] == fleet.destroy(1000.0)
    assert ["other-fleet"] == fleet.left
    expected = "lab-detect: CpuMetric is left behind, since security profiles outside this fleet use it: theirs"
    assert expected in fleet.printed.splitlines()


@pytest.mark.parametrize("users", [{}, {"ours": {"cpu_usage"}}])
def test_a_metric_that_nobody_else_uses_is_not_left_behind(fleet: Doomed, users: dict[str, set[str]]) -> None:
    fleet.aws.fails["CpuMetric"] = "internal error"
    fleet.iot.profiles = users
    assert ["the stack lab-detect could not be deleted: CpuMetric: internal error"] == fleet.destroy(0.0)
    assert ["lab-detect", "lab-fleet", "other-fleet"] == fleet.left


def test_a_thing_that_came_since_it_was_shown_is_not_deleted(fleet: Doomed) -> None:
    shown = make_fleet(NAMES, None, fleet.aws, fleet.iot).read()
    stack = fleet.aws.stack("lab-things-1")
    assert stack is not None
    stack.template = things_template({"a": "csr", "b": "csr"})
    (problem,) = destroy(shown, [], ())
    assert "the stack lab-things-1 was changed meanwhile" in str(problem)
    assert "bThing" in fleet.aws.resources("lab-things-1")

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("aws_cdk", "boto3", "rich")

from infrastructure.deployed import Deployed, DeployedStack, DeployedThing  # noqa: E402
from infrastructure.description import DetectStack  # noqa: E402
from infrastructure.detect import DetectPlan  # noqa: E402
from infrastructure.drift import Drift  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.fleet import Fleet  # noqa: E402
from infrastructure.names import Names  # noqa: E402
from infrastructure.plan import Plan, StackPlan, ThingsPlan  # noqa: E402
from infrastructure.profiles import Profile  # noqa: E402
from infrastructure.screen import Screen  # noqa: E402
from infrastructure.summary import show_account, show_destruction, show_detect, show_plan  # noqa: E402
from tests.fakes.fake_account import make_account  # noqa: E402

NAMES = Names("lab")
PORTS: dict[str, Any] = {
    "securityProfileName": "ports",
    "behaviors": [
        {
            "name": "ssh",
            "metric": "aws:listening-tcp-ports",
            "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22]}},
        }
    ],
    "additionalMetricsToRetainV2": [{"metric": "load"}],
}
DETECT = DetectStack(NAMES, (Profile("ports", Path("ports.json"), PORTS),), {"load": "number-list"})


class Shown:
    """A fleet, and what is shown of it."""

    def __init__(self) -> None:
        self._printed = io.StringIO()
        self.screen = Screen(self._printed)

    def fleet(self, deployed: Deployed | None = None) -> Fleet:
        return Fleet(make_account(), NAMES, self.screen, deployed or Deployed())

    @property
    def lines(self) -> list[str]:
        return self._printed.getvalue().splitlines()


@pytest.fixture
def shown() -> Shown:
    return Shown()


def plan(**things: tuple[str, ...]) -> Plan:
    groups = {"new": (), "kept": (), "rotated": (), "gone": (), **things}
    return Plan(StackPlan("lab-fleet", "keep"), (), **groups)


def deployed_detect(*profiles: str, **metrics: str) -> Deployed:
    """Return a fleet whose stack of Detect has these security profiles and custom metrics."""
    resources: dict[str, Any] = {
        name: {"Type": "AWS::IoT::SecurityProfile", "Properties": {"SecurityProfileName": name}} for name in profiles
    }
    for name, kind in metrics.items():
        properties = {"MetricName": name, "MetricType": kind}
        resources[f"{name}Metric"] = {"Type": "AWS::IoT::CustomMetric", "Properties": properties}
    stack = DeployedStack("lab-detect", "CREATE_COMPLETE", template={"Resources": resources})
    return Deployed({"lab-detect": stack})


def test_the_account_comes_first(shown: Shown) -> None:
    show_account(shown.fleet())
    expected = [
        "account   123456789012, as arn:aws:iam::123456789012:user/deployer",
        "region    eu-west-1",
        "endpoint  a1b2c3-ats.iot.eu-west-1.amazonaws.com",
        "fleet     lab",
    ]
    assert expected == shown.lines


def test_all_that_goes_is_shown_and_of_the_rest_the_first_ones(shown: Shown) -> None:
    many = tuple(f"t{number}" for number in range(12))
    show_plan(shown.screen, plan(new=many, gone=many), [], [])
    ten = ", ".join(many[:10])
    assert [
        f"new       12: {ten} and 2 more",
        f"gone      12: {', '.join(many)} (no longer listed: thing and certificate are DELETED)",
    ] == shown.lines


def test_the_plan_names_stacks_that_change_things_that_join_and_drift(shown: Shown) -> None:
    stacks = (
        ThingsPlan("lab-things-1", "recreate", 1, ("a",)),
        ThingsPlan("lab-things-2", "keep", 2, ("b",)),
        ThingsPlan("lab-things-3", "delete", 3, ()),
    )
    whole = Plan(StackPlan("lab-fleet", "create"), stacks, ("a",), ("b", "c"), ("b",), ())
    drift = [Drift("b", "its certificate was deleted", True), Drift("c", "its certificate is INACTIVE", True)]
    show_plan(shown.screen, whole, ["a", "c"], drift)
    assert [
        "new       1: a",
        "kept      2: b, c",
        "rotated   1: b (cut off until their devices have the new certificate and key)",
        "to join   1: c (not in the thing group yet)",
        "stack     lab-fleet is created",
        "stack     lab-things-1 failed to create earlier; it will be deleted and created again",
        "stack     lab-things-3 is deleted, because no thing is left in it",
        "drift     b: its certificate was deleted (which this run does)",
        "drift     c: its certificate is INACTIVE",
    ] == shown.lines


def test_each_profile_is_shown_by_name_with_what_it_will_do(shown: Shown) -> None:
    show_detect(shown.fleet(), DetectPlan("lab-detect", "create", DETECT), [])
    assert [
        "profile   lab-ports, new",
        "            ssh: alarms when aws:listening-tcp-ports holds a port other than 22",
        "            keeps without an alarm: load",
        "metrics   1: load (a number-list), new",
        "stack     lab-detect is created",
    ] == shown.lines


def test_profiles_and_metrics_that_are_in_no_file_any_more_are_shown_as_deleted(shown: Shown) -> None:
    before = deployed_detect("lab-ports", "lab-old", load="number-list", humidity="number")
    show_detect(shown.fleet(before), DetectPlan("lab-detect", "update", DETECT), [])
    assert "profile   lab-ports" == shown.lines[0]
    assert "profiles  1: lab-old (in no file: DELETED)" in shown.lines
    assert "metrics   1: load (a number-list)" in shown.lines
    assert "metrics   1: humidity (in no security profile: DELETED)" in shown.lines


def test_where_nothing_changes_profiles_and_metrics_are_named_only(shown: Shown) -> None:
    before = deployed_detect("lab-ports", load="number-list")
    show_detect(shown.fleet(before), DetectPlan("lab-detect", "keep", DETECT), [])
    assert ["profiles  1: lab-ports", "metrics   1: load (a number-list)"] == shown.lines


def test_metrics_of_another_fleet_are_used_and_those_that_no_device_reports_are_noted(shown: Shown) -> None:
    detect = DetectPlan("lab-detect", "create", DetectStack(NAMES, (), {}), shared=("x",))
    show_detect(shown.fleet(deployed_detect(x="number")), detect, ["m"])
    assert [
        "metrics   1: x (there already, of another fleet or an earlier one, and used)",
        "note      the security profiles name m, which the devices' configuration does not report",
        "stack     lab-detect is created",
    ] == shown.lines


def test_detect_that_is_left_alone_or_cannot_be_deployed_is_said(shown: Shown) -> None:
    show_detect(shown.fleet(), None, [])
    problem = DeployError("Detect is over")
    show_detect(shown.fleet(), DetectPlan("d", "update", DetectStack(NAMES, (), {}), problem=problem), [])
    assert [
        "Detect    is left alone (--no-detect)",
        "Detect    cannot be deployed, everything else can: Detect is over",
    ] == shown.lines


def test_a_destruction_names_everything_that_goes(shown: Shown) -> None:
    things = {f"t{number:02}": DeployedThing(f"t{number:02}", 1, "", "") for number in range(11)}
    stacks = {name: DeployedStack(name, "CREATE_COMPLETE") for name in ("lab-things-1", "lab-fleet")}
    show_destruction(shown.fleet(Deployed(stacks, things)), ["arn:x"])
    assert [
        "stack     lab-fleet is deleted",
        "stack     lab-things-1 is deleted",
        f"things    11: {', '.join(things)} (deleted with their certificates)",
        "detached  1: arn:x (not part of this fleet; the policy will be detached from it)",
    ] == shown.lines


def test_where_nothing_is_deployed_nothing_is_destroyed(shown: Shown) -> None:
    show_destruction(shown.fleet(), [])
    assert ["nothing of this fleet is deployed"] == shown.lines

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich", "aws_cdk")

from infrastructure.component import configure, read_component  # noqa: E402
from infrastructure.deployed import Deployed, DeployedStack  # noqa: E402
from infrastructure.description import ArtifactsStack, GreengrassStack  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.fleet import Fleet  # noqa: E402
from infrastructure.greengrass import Asked, GreengrassPlan, plan_greengrass, read_asked  # noqa: E402
from infrastructure.names import TAG, Names  # noqa: E402
from infrastructure.screen import Screen  # noqa: E402
from infrastructure.summary import show_destruction, show_greengrass  # noqa: E402
from release.component import ARCHITECTURES, NAME, recipe  # noqa: E402
from tests.fakes.fake_account import ID, FakeIot, make_account  # noqa: E402
from tests.fakes.fake_cloudformation import refuse  # noqa: E402

NAMES, BUCKET = Names("lab"), "lab-123456789012-eu-west-1"
COMPONENT_ARN = f"arn:aws:greengrass:eu-west-1:{ID}:components:{NAME}:versions:1.0.0"
CONFIG = {"agent": {"publish_interval": 600}}
OURS, THEIRS = "ours", {"deploymentId": "d-2", "deploymentName": "theirs", "deploymentStatus": "ACTIVE"}


class FakeGreengrass:
    """Greengrass: its cores, its components, and the latest deployment of each thing group."""

    def __init__(self, **deployments: dict[str, str]) -> None:
        self.cores, self.components, self.deployments = {"core-1", "core-2"}, {COMPONENT_ARN}, deployments

    def get_core_device(self, coreDeviceThingName: str) -> dict[str, str]:  # noqa: N803
        if coreDeviceThingName not in self.cores:
            raise refuse("ResourceNotFoundException", coreDeviceThingName)
        return {"coreDeviceThingName": coreDeviceThingName}

    def describe_component(self, arn: str) -> dict[str, str]:
        if arn not in self.components:
            raise refuse("ResourceNotFoundException", arn)
        return {"arn": arn}

    def list_deployments(self, targetArn: str, historyFilter: str) -> dict[str, Any]:  # noqa: N803
        assert "LATEST_ONLY" == historyFilter
        found = self.deployments.get(targetArn.rpartition("/")[2])
        return {"deployments": [{**found, "targetArn": targetArn}] if found else []}


class FakeS3:
    """One bucket, two objects on a page; None is no bucket."""

    def __init__(self, objects: dict[str, str] | None) -> None:
        self.objects, self.asked = objects, list[dict[str, Any]]()

    def get_paginator(self, operation: str) -> FakeS3:
        assert "list_objects_v2" == operation
        return self

    def paginate(self, **asked: str) -> Iterator[dict[str, Any]]:
        self.asked.append(asked)
        if self.objects is None:
            raise refuse("NoSuchBucket", "none")
        keys = sorted(self.objects)
        for start in range(0, len(keys) or 1, 2):
            yield {"Contents": [{"Key": key} for key in keys[start : start + 2]]} if keys else {}

    def head_object(self, Key: str, **asked: str) -> dict[str, Any]:  # noqa: N803
        if self.objects is None or Key not in self.objects:
            raise refuse("404", "Not Found", "HeadObject")
        return {"Metadata": {"sha256": self.objects[Key]}}

    def put_object(self, Key: str, Metadata: dict[str, str], **asked: Any) -> None:  # noqa: N803
        self.asked.append(asked)
        assert self.objects is not None
        self.objects[Key] = Metadata["sha256"]

    def delete_objects(self, Delete: dict[str, Any], **asked: Any) -> None:  # noqa: N803
        assert self.objects is not None
        for each in Delete["Objects"]:
            del self.objects[each["Key"]]


@pytest.fixture
def built(tmp_path: Path) -> Path:
    return build(tmp_path)


def build(directory: Path, version: str = "1.0.0", content: str = "") -> Path:
    (directory / "recipe.yaml").write_text(recipe(version))
    for each in ARCHITECTURES:
        (directory / f"{each.zip}.zip").write_text(each.name + content)
    return directory


def deployed(built: Path, group: str = "lab-cores", own: bool = True) -> Deployed:
    """Return what a deployment leaves."""
    component = read_component(built)
    artifacts, text = ArtifactsStack(NAMES, BUCKET), component.recipe_in(BUCKET)
    what = (component.name, component.version, text, component.digests, configure(CONFIG), group, own)
    description = GreengrassStack(NAMES, *what)
    noted = {TAG: {"version": component.version, "artifacts": component.digests}}
    resources: dict[str, Any] = {
        "V": {"Type": "AWS::GreengrassV2::ComponentVersion", "Properties": {"InlineRecipe": text}, "Metadata": noted}
    }
    if own:
        resources["G"] = {"Type": "AWS::IoT::ThingGroup", "Properties": {"ThingGroupName": group}}
    outputs = {"DeploymentId": OURS, "ComponentArn": COMPONENT_ARN, "Group": group}
    stacks = [
        DeployedStack(
            each.stack_name, "CREATE_COMPLETE", "", values, {"Metadata": {TAG: {"digest": each.digest}}, **more}
        )
        for each, values, more in ((artifacts, {}, {}), (description, outputs, {"Resources": resources}))
    ]
    return Deployed({each.name: each for each in stacks})


class World:
    """A fleet with Greengrass and S3, and what is printed."""

    def __init__(self, built: Path, found: Deployed | None = None, **deployments: dict[str, str]) -> None:
        self.built, self.printed, self.iot = built, io.StringIO(), FakeIot()
        self.greengrass = FakeGreengrass(**{name.replace("_", "-"): each for name, each in deployments.items()})
        self.s3 = FakeS3(dict(read_component(built).digests) if found else None)
        account = make_account(iot=self.iot, greengrassv2=self.greengrass, s3=self.s3)
        self.fleet = Fleet(account, NAMES, Screen(self.printed), found or Deployed())

    def plan(self, asked: Asked | None) -> GreengrassPlan | None:
        return plan_greengrass(self.fleet, asked, CONFIG, ("rpi-0001",), self.built)

    def planned(self, *cores: str, group: str | None = None, end: bool = False) -> GreengrassPlan:
        found = self.plan(Asked(cores, group, end))
        assert found is not None
        return found

    def shown(self, plan: GreengrassPlan | None) -> list[str]:
        show_greengrass(self.fleet, plan)
        return self.printed.getvalue().splitlines()


def changes(plan: GreengrassPlan) -> dict[str, str]:
    return {stack.name: stack.change for stack, _ in plan.stacks}


def test_nothing_is_planned_where_nothing_is_and_nothing_is_asked_for(built: Path) -> None:
    world = World(built)
    assert world.plan(None) is None
    assert world.plan(Asked(end=True)) is None
    assert [] == world.shown(None)


def test_the_bucket_comes_first_and_all_of_it_is_shown(built: Path) -> None:
    world = World(built)
    plan = world.planned("core-1", "core-2")
    assert [("lab-artifacts", "create"), ("lab-greengrass", "create")] == list(changes(plan).items())
    assert [
        f"component {NAME} 1.0.0, 3 zips in {BUCKET}",
        "deploys   it to the thing group lab-cores, where it replaces nothing, because none was deployed to it",
        "cores     2: core-1, core-2 (not in the thing group lab-cores yet)",
        "stack     lab-artifacts is created",
        "stack     lab-greengrass is created",
        f"note      the cores' token exchange role must be allowed s3:GetObject on arn:aws:s3:::{BUCKET}/*",
    ] == world.shown(plan)


def test_what_is_deployed_stays_whether_it_is_asked_for_or_not(built: Path) -> None:
    world = World(built, deployed(built), lab_cores={**THEIRS, "deploymentId": OURS})
    world.iot.groups["lab-cores"] = {"core-1"}
    for plan in (world.planned("core-1"), world.plan(None)):
        assert plan is not None
        assert (False, ()) == (plan.changes, plan.drift)
    assert ("core-2",) == world.planned("core-1", "core-2").joining


def test_another_version_replaces_the_one_before_and_says_so(built: Path) -> None:
    world = World(built, deployed(built))
    world.iot.groups["lab-cores"] = {"core-1"}
    build(built, "1.1.0")
    plan = world.planned("core-1")
    assert {"lab-artifacts": "keep", "lab-greengrass": "update"} == changes(plan)
    assert "deploys   it to the thing group lab-cores, where it replaces version 1.0.0" in world.shown(plan)


def test_another_group_is_deployed_to_instead_and_the_one_before_is_named(built: Path) -> None:
    world = World(built, deployed(built))
    world.iot.groups |= {"lab-cores": {"core-1"}, "factory": set()}
    shown = world.shown(world.planned(group="factory"))
    assert (
        "deploys   it to the thing group factory, where it replaces nothing, because none was deployed to it" in shown
    )
    assert "leaves    the thing group lab-cores, on whose cores the component stays" in shown


def test_a_version_never_changes_its_content(built: Path) -> None:
    world = World(built, deployed(built))
    world.iot.groups["lab-cores"] = {"core-1"}
    build(built, content="changed")
    with pytest.raises(
        DeployError, match="1.0.0 is deployed already with another content, and a component version never"
    ):
        world.planned("core-1")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            Asked(("core-9",)),
            "core-9 is not a Greengrass V2 core in this account .* `aws greengrassv2 list-core-devices",
        ),
        (Asked(("rpi-0001",)), "rpi-0001 is in the list of things as well, whose publisher would push the nucleus"),
        (Asked(group="nowhere"), "--greengrass-group: there is no thing group nowhere"),
        (
            Asked(group="factory"),
            r"factory has a deployment of somebody else's \(theirs\), .*: give the cores' names with",
        ),
        (Asked(("core-1",)), "the thing group lab-cores exists in this account already, outside this fleet: delete it"),
    ],
)
def test_what_cannot_be_deployed_to_is_told_with_what_to_do(built: Path, asked: Asked, says: str) -> None:
    world = World(built, factory=THEIRS)
    world.iot.groups |= {"factory": set(), "lab-cores": set()}
    with pytest.raises(DeployError, match=says):
        world.plan(asked)


def test_a_foreign_deployment_that_has_ended_is_in_nobodys_way(built: Path) -> None:
    world = World(built, factory={**THEIRS, "deploymentStatus": "CANCELED"})
    world.iot.groups["factory"] = set()
    assert {"lab-artifacts": "create", "lab-greengrass": "create"} == changes(world.planned(group="factory"))


def test_a_deployment_over_ours_is_drift_and_refused_when_ours_is_asked_for_again(built: Path) -> None:
    world = World(built, deployed(built), lab_cores=THEIRS)
    world.iot.groups["lab-cores"] = {"core-1"}
    plan = world.plan(None)
    assert plan is not None
    assert "the thing group lab-cores got another deployment since (theirs)" in str(plan.drift[0])
    assert f"drift     {plan.drift[0]}" in world.shown(plan)
    with pytest.raises(DeployError, match="cancel it with `aws greengrassv2 cancel-deployment --deployment-id d-2"):
        world.planned("core-1")


def test_a_component_and_zips_that_were_deleted_by_hand_are_told_and_zips_are_uploaded_again(built: Path) -> None:
    world = World(built, deployed(built))
    world.iot.groups["lab-cores"] = {"core-1"}
    world.greengrass.components.clear()
    world.s3.objects = None
    plan = world.plan(None)
    assert plan is not None
    assert ["the component arn", *["s3://lab-1234"] * 3] == [
        str(each)[: 17 if number == 0 else 13] for number, each in enumerate(plan.drift)
    ]
    plan = world.planned("core-1")
    assert (3, True) == (len(plan.missing), plan.changes)


def test_giving_it_up_deletes_it_and_says_what_stays(built: Path) -> None:
    world = World(built, deployed(built))
    plan = world.planned(end=True)
    assert {"lab-artifacts": "delete", "lab-greengrass": "delete"} == changes(plan)
    stays = "note      the component stays on the cores until another deployment to them leaves it out"
    assert stays == world.shown(plan)[-1]
    show_destruction(world.fleet, [])
    assert stays == world.printed.getvalue().splitlines()[-1]


@pytest.mark.parametrize(
    ("cores", "group", "end", "says"),
    [
        (["a"], "b", False, "give one of --greengrass, --greengrass-group and --no-greengrass, not several"),
        ([], "b", True, "give one of"),
        (["a/b"], None, False, '--greengrass must name .*, got "a/b"'),
        ([], "", False, '--greengrass-group must name .*, got ""'),
    ],
)
def test_options_that_cannot_be_meant_are_refused(cores: list[str], group: str | None, end: bool, says: str) -> None:
    with pytest.raises(DeployError, match=says):
        read_asked(cores, group, end)


def test_options_that_are_not_given_ask_for_nothing() -> None:
    assert read_asked([], None, False) is None
    assert Asked(("b", "a")) == read_asked(["b", "a", "b"], None, False)

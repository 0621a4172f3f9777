"""What happens on Greengrass cores: the component's version, and its deployment to a thing group."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_defender.metrics import is_name
from device_defender.wording import shown
from infrastructure.account import found
from infrastructure.artifacts import lost
from infrastructure.component import Component, configure, read_component
from infrastructure.deployed import DeployedStack
from infrastructure.description import ArtifactsStack, GreengrassStack, StackDescription
from infrastructure.errors import DeployError
from infrastructure.fleet import Fleet
from infrastructure.plan import DELETE, KEEP, StackPlan, change_of
from infrastructure.registry import read_members

VERSION, DEPLOYMENT, GROUP = (
    "AWS::GreengrassV2::ComponentVersion",
    "AWS::GreengrassV2::Deployment",
    "AWS::IoT::ThingGroup",
)
ENDED = ("CANCELED", "INACTIVE")  # deployments that are in nobody's way
HOW_TO = "docs/how-to/run-on-greengrass.md"


@dataclass(frozen=True)
class Asked:
    """What a deployer asks for."""

    cores: tuple[str, ...] = ()  # for the fleet's own group
    group: str | None = None  # another one instead
    end: bool = False  # give it up


@dataclass(frozen=True)
class GreengrassPlan:
    """What happens on Greengrass cores."""

    bucket: str
    stacks: tuple[
        tuple[StackPlan, StackDescription | None], ...
    ]  # the bucket's first; those that go have no description
    component: Component | None = None  # None: nothing is deployed
    group: str = ""
    replaced: str = ""  # the version that the group had deployed before
    left: str = ""  # the group that was deployed to before, where that is another one
    joining: tuple[str, ...] = ()  # cores that are not in the group yet
    missing: tuple[str, ...] = ()  # zips that were deleted by hand, and are uploaded again
    drift: tuple[DeployError, ...] = ()  # what was changed by hand

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.joining or self.missing) or any(stack.changes for stack, _ in self.stacks)

    @property
    def descriptions(self) -> list[StackDescription]:
        """What is to be in the stacks that change."""
        return [what for stack, what in self.stacks if stack.changes and what is not None]


def read_asked(cores: Sequence[str], group: str | None, end: bool) -> Asked | None:
    """Return what the options ask for, None for nothing; raise DeployError for two things at once, and for no names."""
    if sum((bool(cores), group is not None, end)) > 1:
        raise DeployError("give one of --greengrass, --greengrass-group and --no-greengrass, not several")
    for option, name in (*(("--greengrass", core) for core in cores), ("--greengrass-group", group)):
        if name is not None and not is_name(name):
            raise DeployError(
                f"{option} must name things or groups with a-z A-Z 0-9 : _ - (1 to 128), got {shown(name)}"
            )
    return Asked(tuple(dict.fromkeys(cores)), group, end) if cores or group is not None or end else None


def plan_greengrass(
    fleet: Fleet, asked: Asked | None, device_config: Mapping[str, Any], things: Collection[str], built: Path
) -> GreengrassPlan | None:
    """Return what happens on Greengrass cores, None where nothing was and nothing is to be.

    `asked` None leaves it as it is deployed; `things` are those that are listed, `built` is where the component is.
    Raises DeployError where a deployment would replace somebody else's, among others.
    """
    stack = fleet.deployed.stack(fleet.names.greengrass_stack)
    bucket = fleet.names.bucket(fleet.account.id, fleet.account.region)
    if asked is not None and not asked.end:
        component = read_component(built)
        _refuse_cores(fleet, asked.cores, things)
        return _plan(fleet, asked, component, configure(device_config), stack, bucket)
    names = [
        name for name in (fleet.names.artifacts_stack, fleet.names.greengrass_stack) if name in fleet.deployed.stacks
    ]
    if not names:
        return None
    change = DELETE if asked is not None else KEEP
    drift: tuple[DeployError, ...] = ()
    if asked is None and stack is not None and stack.exists:
        drift = (*_drift(fleet, stack), *_drift_of_bucket(fleet, stack, bucket))
    return GreengrassPlan(bucket, tuple((StackPlan(name, change), None) for name in names), drift=drift)


def _plan(
    fleet: Fleet,
    asked: Asked,
    component: Component,
    configuration: Mapping[str, Any],
    stack: DeployedStack | None,
    bucket: str,
) -> GreengrassPlan:
    group = asked.group or fleet.names.cores
    before = stack.outputs.get("Group", "") if stack is not None else ""
    members = _members(fleet, group, stack, own=asked.group is None)
    _refuse_another_content(component, stack, bucket)
    _refuse_foreign_deployment(fleet, group, stack, component)
    artifacts = ArtifactsStack(fleet.names, bucket)
    deployment = GreengrassStack(
        names=fleet.names,
        component=component.name,
        version=component.version,
        recipe=component.recipe_in(bucket),
        artifacts=component.digests,
        configuration=configuration,
        group=group,
        own_group=asked.group is None,
    )
    plans = [
        (StackPlan(each.stack_name, change_of(fleet.deployed, each.stack_name, each.digest)), each)
        for each in (artifacts, deployment)
    ]
    return GreengrassPlan(
        bucket=bucket,
        stacks=tuple(plans),
        component=component,
        group=group,
        replaced=_version(stack) if before == group else "",
        left=before if before != group else "",
        joining=tuple(core for core in asked.cores if core not in members),
        missing=() if plans[0][0].changes else tuple(lost(fleet.account, bucket, component.digests)),
        drift=() if plans[1][0].changes else tuple(_drift(fleet, stack)),
    )


def _refuse_cores(fleet: Fleet, cores: Sequence[str], things: Collection[str]) -> None:
    """Raise DeployError for cores that are none, and for those that are listed as things as well."""
    client = fleet.account.client("greengrassv2")
    for core in cores:
        if core in things:
            raise DeployError(
                f"{core} is in the list of things as well, whose publisher would push the nucleus off AWS IoT: a core "
                "reports by the component alone, so take it out of the list"
            )
        if found(client.get_core_device, coreDeviceThingName=core) is None:
            raise DeployError(
                f"{core} is not a Greengrass V2 core in this account and region: `aws greengrassv2 list-core-devices "
                f"--region {fleet.account.region}` lists those there are"
            )


def _members(fleet: Fleet, group: str, stack: DeployedStack | None, own: bool) -> frozenset[str]:
    """Return the things in a group; DeployError for one that is not there, or that is somebody else's."""
    members = read_members(fleet.account.iot, group)
    if members is None and not own:
        raise DeployError(
            f"--greengrass-group: there is no thing group {group} in this account and region; give the cores' names "
            "with --greengrass instead, and a group is made for them"
        )
    is_ours = stack is not None and bool(stack.resources(GROUP))
    if members is not None and own and not is_ours:
        raise DeployError(
            f"the thing group {group} exists in this account already, outside this fleet: delete it (`aws iot "
            f"delete-thing-group --thing-group-name {group}`), or give --greengrass-group {group}"
        )
    if members is None and is_ours and own:
        raise DeployError(f"the thing group {group} was deleted by hand: give --no-greengrass, then --greengrass again")
    return members or frozenset()


def _refuse_another_content(component: Component, stack: DeployedStack | None, bucket: str) -> None:
    """Raise DeployError if the version is deployed already with other zips or another recipe: it never changes."""
    if stack is None or _version(stack) != component.version:
        return
    recipe = next((each["InlineRecipe"] for each in stack.resources(VERSION).values()), "")
    if dict(stack.metadata(VERSION).get("artifacts", {})) != component.digests or recipe != component.recipe_in(bucket):
        raise DeployError(
            f"{component.name} {component.version} is deployed already with another content, and a component version "
            "never changes: build one with another version, or give --no-greengrass first"
        )


def _version(stack: DeployedStack | None) -> str:
    return str(stack.metadata(VERSION).get("version", "")) if stack is not None else ""


def _refuse_foreign_deployment(fleet: Fleet, group: str, stack: DeployedStack | None, component: Component) -> None:
    """Raise DeployError if somebody else's deployment is what the group has: ours would replace all of it."""
    for each in _foreign_deployments(fleet, group, stack):
        cancel = f"aws greengrassv2 cancel-deployment --deployment-id {each['deploymentId']}"
        instead = "give the cores' names with --greengrass, for which a group of the fleet's own is made"
        if group == fleet.names.cores:
            instead = f"cancel it with `{cancel} --region {fleet.account.region}`"
        raise DeployError(
            f"the thing group {group} has a deployment of somebody else's ({_identify(each)}), which ours would "
            f"replace with all its components: {instead}, or add {component.name} to that deployment ({HOW_TO})"
        )


def _foreign_deployments(fleet: Fleet, group: str, stack: DeployedStack | None) -> list[Mapping[str, Any]]:
    """Return the latest deployment to a group where it is not ours."""
    account = fleet.account
    arn = f"arn:{account.partition}:iot:{account.region}:{account.id}:thinggroup/{group}"
    answer = account.client("greengrassv2").list_deployments(targetArn=arn, historyFilter="LATEST_ONLY")
    own = stack.outputs.get("DeploymentId", "") if stack is not None else ""
    latest = [each for each in answer["deployments"] if each["targetArn"] == arn]
    return [each for each in latest if each["deploymentId"] != own and each["deploymentStatus"] not in ENDED]


def _identify(deployment: Mapping[str, Any]) -> str:
    return str(deployment.get("deploymentName") or deployment["deploymentId"])


def _drift(fleet: Fleet, stack: DeployedStack | None) -> Iterator[DeployError]:
    """Yield what keeps cores from getting the component, although the stack is as it should be."""
    if stack is None:
        return
    group, arn = stack.outputs.get("Group", ""), stack.outputs.get("ComponentArn", "")
    again = "give --no-greengrass, then --greengrass again"
    for each in _foreign_deployments(fleet, group, stack):
        yield DeployError(
            f"the thing group {group} got another deployment since ({_identify(each)}), which replaced this fleet's: "
            f"its cores report only if that one has the component as well ({HOW_TO}); otherwise {again}"
        )
    if found(fleet.account.client("greengrassv2").describe_component, arn=arn) is None:
        yield DeployError(f"the component {arn} was deleted by hand: {again}")


def _drift_of_bucket(fleet: Fleet, stack: DeployedStack, bucket: str) -> Iterator[DeployError]:
    for key in lost(fleet.account, bucket, stack.metadata(VERSION).get("artifacts", {})):
        yield DeployError(
            f"s3://{bucket}/{key} was deleted by hand, and no core can install it any longer: give --greengrass with "
            "the cores' names again, which uploads it"
        )

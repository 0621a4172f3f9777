"""./deploy.py --greengrass from end to end: the component reaches a group of the fleet's own, and replaces no other."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from release.component import ARCHITECTURES, NAME, recipe
from tests.fakes.emulator import Account
from tests.infrastructure.deployment import Machine, members_of
from tests.infrastructure.test_deploy import NOTHING

FLEET, CORES = "amazon-defender-publisher", "amazon-defender-publisher-cores"
BUCKET = "amazon-defender-publisher-{}-eu-west-1"


def build(machine: Machine, version: str = "0.1.0", content: str = "one") -> Path:
    """Put into dist/greengrass what `make component` puts there, with zips that hold next to nothing."""
    directory = machine.program.parent / "dist" / "greengrass"
    directory.mkdir(parents=True, exist_ok=True)
    for each in ARCHITECTURES:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as file:
            file.writestr(zipfile.ZipInfo("installers/greengrass/install.sh"), f"{content} {each.name}")
        (directory / f"{each.zip}.zip").write_bytes(packed.getvalue())
    (directory / "recipe.yaml").write_text(recipe(version))
    return directory


def add_core(account: Account, *names: str) -> None:
    for name in names:
        account.client("iot").create_thing(thingName=name)
        account.greengrass(core=name)


@pytest.fixture
def built(machine: Machine) -> Machine:
    """A machine with a component, and an account with two cores."""
    built = machine.configure().list("rpi-0001")
    build(built)
    add_core(machine.account, "core-1", "core-2")
    return built


def latest(account: Account, group: str = CORES) -> Any:
    arn = f"arn:aws:iot:{account.region}:{account.id}:thinggroup/{group}"
    found = [each for each in account.greengrass()["deployments"].values() if each["targetArn"] == arn]
    (deployment,) = (each for each in found if each["isLatestForTarget"])
    return deployment


def test_cores_get_the_component_in_a_group_of_their_own_and_a_second_run_changes_nothing(built: Machine) -> None:
    account, bucket = built.account, BUCKET.format(built.account.id)
    run = built.deploy("--yes", "--no-detect", "--greengrass", "core-1", "core-2")
    assert (0, "") == (run.status, run.errors), run.text
    assert f"component {NAME} 0.1.0, 3 zips in {bucket}" in run.output
    assert f"deploys   it to the thing group {CORES}, where it replaces nothing" in run.output
    assert f"cores     2: core-1, core-2 (not in the thing group {CORES} yet)" in run.output
    assert ["core-1", "core-2"] == members_of(account, CORES)
    assert ["rpi-0001"] == members_of(account)
    component = latest(account)["components"][NAME]
    assert "0.1.0" == component["componentVersion"]
    configuration = json.loads(component["configurationUpdate"]["merge"])
    assert ({"publish_interval": 300, "metrics_collection_interval": 30}, {"cpu_usage": {}}) == (
        configuration["agent"],
        configuration["custom_metrics"],
    )
    (made,) = account.greengrass()["components"].values()
    uris = re.findall(r'Uri: "(\S+)"', made["recipe"])
    assert len(ARCHITECTURES) == len(uris)
    for uri, each in zip(uris, ARCHITECTURES):
        key = f"{NAME}/0.1.0/{each.zip}.zip"
        assert f"s3://{bucket}/{key}" == uri
        stored = account.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        assert (built.program.parent / "dist" / "greengrass" / f"{each.zip}.zip").read_bytes() == stored
    before = account.snapshot()
    for arguments in ([], ["--greengrass", "core-1", "core-2"], ["--greengrass", "core-2"]):
        account.forget_calls()
        run = built.deploy("--no-detect", *arguments)
        assert (0, "") == (run.status, run.errors), run.text
        assert ({}, before) == (account.writes(), account.snapshot())


def test_the_configuration_is_one_that_the_component_takes(built: Machine) -> None:
    from defender_publisher.greengrass.parameters import read_parameters

    sections = {"agent": {"publish_interval": 600, "logfile": "/x", "region": "r", "proxy": {"host": "h"}}}
    built.configure(**sections, metrics={"namespace": "Lab", "max_list_size": 100})
    assert 0 == built.deploy("--yes", "--no-detect", "--greengrass", "core-1").status
    merged = json.loads(latest(built.account)["components"][NAME]["configurationUpdate"]["merge"])
    assert ({"publish_interval": 600}, {"max_list_size": 100}) == (merged["agent"], merged["metrics"])
    assert 600 == read_parameters(merged, short_names=False)["agent"]["publish_interval"]


def test_without_what_was_built_it_says_what_to_run(machine: Machine) -> None:
    run = machine.configure().list("rpi-0001").deploy("--yes", "--no-detect", "--greengrass", "core-1")
    assert 1 == run.status
    assert 1 == len(run.sentence.splitlines())
    assert "dist/greengrass/recipe.yaml: build it with `make component`, then run this again" in run.sentence
    assert {} == machine.account.writes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--greengrass", "core-9"],
            "core-9 is not a Greengrass V2 core in this account and region: `aws greengrassv2",
        ),
        (["--greengrass", "rpi-0001"], "rpi-0001 is in the list of things as well, whose publisher would push the"),
        (["--greengrass", "core/1"], '--greengrass must name things or groups with a-z .*, got "core/1"'),
        (["--greengrass-group", ""], '--greengrass-group must name things or groups .*, got ""'),
        (["--greengrass-group", "nowhere"], "--greengrass-group: there is no thing group nowhere in this account"),
        (["--greengrass", "core-1", "--no-greengrass"], "give one of --greengrass, --greengrass-group and"),
    ],
)
def test_what_cannot_be_deployed_to_is_refused_in_one_sentence(built: Machine, arguments: list[str], says: str) -> None:
    built.account.forget_calls()
    run = built.deploy("--yes", "--no-detect", *arguments)
    assert (1, 1) == (run.status, len(run.sentence.splitlines()))
    assert re.search(says, run.sentence), run.sentence
    assert {} == built.account.writes()


@pytest.mark.slow
def test_a_group_with_a_deployment_of_somebody_elses_is_refused_with_what_to_do(built: Machine) -> None:
    account = built.account
    arn = account.client("iot").create_thing_group(thingGroupName="factory")["thingGroupArn"]
    components = {"aws.greengrass.Cli": {"ComponentVersion": "2.12.0"}}
    theirs = account.greengrass(deploy={"TargetArn": arn, "DeploymentName": "theirs", "Components": components})
    account.forget_calls()
    run = built.deploy("--yes", "--no-detect", "--greengrass-group", "factory")
    assert 1 == run.status
    assert "factory has a deployment of somebody else's (theirs), which ours would replace with all its" in run.sentence
    assert "give the cores' names with --greengrass, for which a group of the fleet's own is made" in run.sentence
    assert ({}, theirs) == (account.writes(), latest(account, "factory")["deploymentId"])


@pytest.mark.slow
def test_a_group_without_a_deployment_is_deployed_to_and_left_in_the_end(built: Machine) -> None:
    account = built.account
    account.client("iot").create_thing_group(thingGroupName="factory")
    run = built.deploy("--yes", "--no-detect", "--greengrass-group", "factory")
    assert (0, "") == (run.status, run.errors), run.text
    assert FLEET == latest(account, "factory")["deploymentName"]
    theirs = account.greengrass(
        deploy={"TargetArn": latest(account, "factory")["targetArn"], "DeploymentName": "theirs"}
    )
    run = built.deploy("--no-detect")
    assert 1 == run.status
    assert "the thing group factory got another deployment since (theirs), which replaced this fleet's" in run.sentence
    run = built.deploy("--yes", "--no-detect", "--no-greengrass")
    assert (0, "") == (run.status, run.errors), run.text
    assert "the component stays on the cores until another deployment to them leaves it out" in run.output
    found = account.snapshot()
    assert (["factory"], [theirs]) == ([each for each in found["groups"] if each != FLEET], found["deployments"])
    assert [] == found["buckets"] + found["components"]


@pytest.mark.slow
def test_another_version_replaces_the_one_before_and_the_same_one_never_changes(built: Machine) -> None:
    account = built.account
    built.deploy("--yes", "--no-detect", "--greengrass", "core-1")
    first = latest(account)["deploymentId"]
    build(built, content="two")
    account.forget_calls()
    run = built.deploy("--yes", "--no-detect", "--greengrass", "core-1")
    assert 1 == run.status
    assert "0.1.0 is deployed already with another content, and a component version never changes" in run.sentence
    assert {} == account.writes()
    build(built, "0.2.0", "two")
    run = built.deploy("--yes", "--no-detect", "--greengrass", "core-1")
    assert (0, "") == (run.status, run.errors), run.text
    assert f"deploys   it to the thing group {CORES}, where it replaces version 0.1.0" in run.output
    assert first != latest(account)["deploymentId"]
    assert ["0.2.0"] == [each["componentVersion"] for each in account.greengrass()["components"].values()]
    key = f"{NAME}/0.2.0/{ARCHITECTURES[0].zip}.zip"
    stored = account.client("s3").get_object(Bucket=BUCKET.format(account.id), Key=key)
    assert hashlib.sha256(stored["Body"].read()).hexdigest() == stored["Metadata"]["sha256"]


@pytest.mark.slow
def test_what_was_deleted_by_hand_is_found(built: Machine) -> None:
    account = built.account
    built.deploy("--yes", "--no-detect", "--greengrass", "core-1")
    key = f"{NAME}/0.1.0/{ARCHITECTURES[0].zip}.zip"
    account.client("s3").delete_object(Bucket=BUCKET.format(account.id), Key=key)
    run = built.deploy("--no-detect")
    assert 1 == run.status
    assert f"{key} was deleted by hand, and no core can install it" in run.sentence
    run = built.deploy("--yes", "--no-detect", "--greengrass", "core-1")
    assert (0, "") == (run.status, run.errors), run.text
    assert f"uploads   1: {key} (deleted by hand)" in run.output
    (arn,) = account.greengrass()["components"]
    account.greengrass(forget=arn)
    run = built.deploy("--no-detect")
    assert 1 == run.status
    assert f"the component {arn} was deleted by hand: give --no-greengrass" in run.sentence


@pytest.mark.slow
def test_destroying_leaves_nothing_of_it(built: Machine) -> None:
    account = built.account
    built.deploy("--yes", "--no-detect", "--greengrass", "core-1")
    run = built.deploy("--yes", "--destroy")
    assert (0, "") == (run.status, run.errors), run.text
    assert "the component stays on the cores until" in run.output
    assert {**NOTHING, "things": ["core-1", "core-2"]} == account.snapshot()


@pytest.mark.slow
def test_a_fleet_may_be_of_cores_only(built: Machine) -> None:
    run = built.list().deploy("--yes", "--no-detect", "--greengrass", "core-1")
    assert (0, "") == (run.status, run.errors), run.text
    assert ["core-1"] == members_of(built.account, CORES)
    run = built.deploy("--no-detect")
    assert 1 == run.status
    assert "names no thing" in run.sentence

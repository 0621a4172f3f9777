"""The emulator's Greengrass does what AWS's does, where deploy.py and its tests rely on it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.emulator import Account, wait_for_stack

NAME = "com.example.reports"
RECIPE = """
ComponentName: com.example.reports
ComponentVersion: "1.0.0"
Manifests:
  - Artifacts:
      - Uri: s3://artifacts-ACCOUNT/reports.zip
"""
GROUP = {"Type": "AWS::IoT::ThingGroup", "Properties": {"ThingGroupName": "cores"}}


def template(account: Account, version: str = "1.0.0", configuration: str = "{}") -> str:
    component = {
        "Type": "AWS::GreengrassV2::ComponentVersion",
        "Properties": {"InlineRecipe": RECIPE.replace("ACCOUNT", account.id)},
    }
    specified = {"ComponentVersion": version, "ConfigurationUpdate": {"Merge": configuration}}
    properties = {"TargetArn": {"Fn::GetAtt": ["Group", "Arn"]}, "Components": {NAME: specified}}
    deployment = {"Type": "AWS::GreengrassV2::Deployment", "Properties": properties, "DependsOn": "Component"}
    return json.dumps({"Resources": {"Group": GROUP, "Component": component, "Deployment": deployment}})


def upload(account: Account) -> None:
    s3 = account.client("s3")
    bucket = f"artifacts-{account.id}"  # a name is taken for all accounts
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": account.region})
    s3.put_object(Bucket=bucket, Key="reports.zip", Body=b"zip")


def latest(account: Account) -> Any:
    arn = f"arn:aws:iot:{account.region}:{account.id}:thinggroup/cores"
    client = account.client("greengrassv2")
    (found,) = client.list_deployments(targetArn=arn, historyFilter="LATEST_ONLY")["deployments"]
    return found


def test_a_deployment_replaces_the_one_that_its_target_had(account: Account) -> None:
    stacks = account.client("cloudformation")
    upload(account)
    stacks.create_stack(StackName="one", TemplateBody=template(account))
    wait_for_stack(account, "one", "CREATE_COMPLETE")
    first = latest(account)
    assert "ACTIVE" == first["deploymentStatus"]
    stacks.update_stack(StackName="one", TemplateBody=template(account, configuration='{"a": 1}'))
    wait_for_stack(account, "one", "UPDATE_COMPLETE")
    assert first["deploymentId"] != latest(account)["deploymentId"]
    (arn,) = account.greengrass()["components"]
    described = account.client("greengrassv2").describe_component(arn=arn)
    assert (NAME, "1.0.0") == (described["componentName"], described["componentVersion"])


@pytest.mark.parametrize(
    ("uploaded", "version", "why"), [(False, "1.0.0", "artifact"), (True, "2.0.0", "doesn't exist")]
)
def test_a_stack_whose_zips_or_version_are_not_there_is_rolled_back(
    account: Account, uploaded: bool, version: str, why: str
) -> None:
    if uploaded:
        upload(account)
    stacks = account.client("cloudformation")
    stacks.create_stack(StackName="one", TemplateBody=template(account, version))
    wait_for_stack(account, "one", "ROLLBACK_COMPLETE")
    events = stacks.describe_stack_events(StackName="one")["StackEvents"]
    assert any(why in event.get("ResourceStatusReason", "") for event in events)
    assert {"components": {}, "deployments": {}} == account.greengrass()


def test_only_what_is_a_core_is_described_as_one(account: Account) -> None:
    from botocore.exceptions import ClientError

    account.greengrass(core="core-1")
    client = account.client("greengrassv2")
    assert "HEALTHY" == client.get_core_device(coreDeviceThingName="core-1")["status"]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.get_core_device(coreDeviceThingName="core-2")
    assert 2 == account.calls()["greengrass:GetCoreDevice"]

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich")

from infrastructure.deployed import (  # noqa: E402
    Deployed,
    DeployedStack,
    DeployedThing,
    certificates_of,
    read_deployed,
    read_stack,
    refuse_busy,
    refuse_stuck,
)
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.names import Names  # noqa: E402
from tests.fakes.fake_account import make_account, things_template  # noqa: E402
from tests.fakes.fake_cloudformation import FakeCloudFormation  # noqa: E402

NAMES = Names("lab")


@pytest.fixture
def aws() -> FakeCloudFormation:
    return FakeCloudFormation()


def read(aws: FakeCloudFormation) -> Deployed:
    return read_deployed(make_account(aws), NAMES)


def test_things_are_read_from_all_stacks_of_the_fleet_and_of_no_other(aws: FakeCloudFormation) -> None:
    aws.add("lab-fleet", template={"Resources": {}})
    aws.add("lab-things-1", template=things_template({"a": "csr-a", "b": "csr-b"}))
    aws.add("lab-things-12", template=things_template({"c": "csr-c"}))
    aws.add("lab-detect", template={"Resources": {}})
    aws.add("lab2-things-1", template=things_template({"x": "csr-x"}))
    aws.add("lab-things-1", "DELETE_COMPLETE", things_template({"old": "csr"}))
    expected = {
        "a": DeployedThing("a", 1, "csr-a", "id-of-aCertificate"),
        "b": DeployedThing("b", 1, "csr-b", "id-of-bCertificate"),
        "c": DeployedThing("c", 12, "csr-c", "id-of-cCertificate"),
    }
    deployed = read(aws)
    assert expected == deployed.things
    assert {"lab-fleet", "lab-things-1", "lab-things-12", "lab-detect"} == set(deployed.stacks)


def test_an_account_without_stacks_has_nothing(aws: FakeCloudFormation) -> None:
    assert Deployed() == read(aws)


@pytest.mark.parametrize("status", ["REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"])
def test_a_stack_with_nothing_in_it_is_there_and_has_no_things(aws: FakeCloudFormation, status: str) -> None:
    aws.add("lab-things-1", status, things_template({"a": "csr"}))
    deployed = read(aws)
    assert {} == deployed.things
    assert (False, False, None) == (deployed.stacks["lab-things-1"].exists, deployed.stacks["lab-things-1"].busy, None)
    assert "get_template" not in aws.calls


@pytest.mark.parametrize(
    "status",
    [
        "CREATE_IN_PROGRESS",
        "ROLLBACK_IN_PROGRESS",
        "DELETE_IN_PROGRESS",
        "UPDATE_IN_PROGRESS",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
        "UPDATE_ROLLBACK_IN_PROGRESS",
        "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS",
    ],
)
def test_a_stack_that_is_worked_on_is_busy(aws: FakeCloudFormation, status: str) -> None:
    aws.add("lab-things-1", status, things_template({"a": "csr"}))
    expected = (
        f"the stack lab-things-1 is busy ({status}): another deployment is under way; run this again when it has ended"
    )
    deployed = read(aws)
    assert {"a"} == set(deployed.things)
    with pytest.raises(DeployError) as raised:
        refuse_busy(deployed.stacks["lab-things-1"], "eu-west-1")
    assert expected == str(raised.value)


def test_a_stack_that_is_stuck_says_how_it_gets_free(aws: FakeCloudFormation) -> None:
    aws.add("lab-fleet", "UPDATE_ROLLBACK_FAILED").reason = "no permission"
    expected = (
        "the stack lab-fleet is stuck (UPDATE_ROLLBACK_FAILED: no permission): let its rollback continue with `aws "
        "cloudformation continue-update-rollback --stack-name lab-fleet --region eu-west-1`, then run this again"
    )
    with pytest.raises(DeployError) as raised:
        refuse_stuck(read(aws).stacks["lab-fleet"], "eu-west-1")
    assert expected == str(raised.value)


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_COMPLETE", "UPDATE_COMPLETE", "DELETE_FAILED", "UPDATE_FAILED"])
def test_what_is_left_after_a_failure_is_there(aws: FakeCloudFormation, status: str) -> None:
    aws.add("lab-things-1", status, things_template({"a": "csr"}))
    assert {"a"} == set(read(aws).things)


def test_an_output_that_is_missing_is_not_made_up(aws: FakeCloudFormation) -> None:
    template = things_template({"a": "csr"})
    del template["Outputs"]
    aws.add("lab-things-1", template=template)
    assert "" == read(aws).things["a"].certificate_id


def test_a_stack_is_read_as_it_is_now(aws: FakeCloudFormation) -> None:
    template = things_template({"a": "csr"}, digest="d1")
    aws.add("lab-things-1", "UPDATE_COMPLETE", template).reason = "why"
    (stack_id,) = aws.stacks
    expected = DeployedStack(
        "lab-things-1", "UPDATE_COMPLETE", "why", {"aCertificate": "id-of-aCertificate"}, template, stack_id
    )
    stack = read_stack(make_account(aws), "lab-things-1")
    assert expected == stack
    assert "d1" == stack.digest
    assert ["aThing"] == list(stack.resources("AWS::IoT::Thing"))
    assert read_stack(make_account(aws), "lab-things-2") is None


def test_a_template_that_boto3_did_not_parse_is_parsed() -> None:
    class Text(FakeCloudFormation):
        def get_template(self, **asked: Any) -> dict[str, str]:
            return {"TemplateBody": json.dumps(super().get_template(**asked)["TemplateBody"])}

    aws = Text()
    aws.add("lab-things-1", template=things_template({"a": "csr"}))
    assert {"a"} == set(read(aws).things)


@pytest.mark.parametrize("template", [{}, {"Metadata": {}}, {"Metadata": {"amazon-defender-publisher": {}}}])
def test_a_template_of_somebody_else_has_no_digest(template: dict[str, Any]) -> None:
    assert DeployedStack("x", "CREATE_COMPLETE", template=template).digest is None


def test_a_certificate_is_its_things_by_the_attachment() -> None:
    attachment = {"ThingName": "a", "Principal": {"Ref": "C"}}
    resources = {"X": {"Type": "AWS::IoT::ThingPrincipalAttachment", "Properties": attachment}}
    assert {"C": "a"} == certificates_of({"Resources": resources})
    assert {"aCertificate": "a", "bCertificate": "b"} == certificates_of(things_template({"a": "x", "b": "y"}))
    assert {} == certificates_of({})

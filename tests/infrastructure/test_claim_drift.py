"""Whatever keeps devices from provisioning themselves or rotating, although the stack is as it should be, is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich", "aws_cdk")

from botocore.exceptions import ClientError  # noqa: E402

from infrastructure.claim_drift import drift_of_claim  # noqa: E402
from infrastructure.deployed import Deployed  # noqa: E402
from infrastructure.registry import Registry  # noqa: E402
from infrastructure.serial_table import Table  # noqa: E402
from tests.fakes.fake_account import certificate_arn  # noqa: E402
from tests.fakes.fake_cloudformation import refuse  # noqa: E402
from tests.infrastructure.claims import CLAIM_ID, ClaimIot, claim_fleet, claim_stack  # noqa: E402

WHOLE = Table({})
RENEW = "--end-claims, then --claim makes a new one"
AGAIN = (
    "`aws cloudformation delete-stack --stack-name lab-claim --region eu-west-1`, then give --claim with --serials "
    "again"
)


def drift(iot: ClaimIot, deployed: Deployed | None = None, table: Table = WHOLE, listed: bool = True) -> list[str]:
    registry = Registry(iot.certificates if listed else {}, frozenset(), frozenset())
    return [str(each) for each in drift_of_claim(claim_fleet(deployed, iot), registry, table)]


@pytest.fixture
def iot() -> ClaimIot:
    return ClaimIot()


def test_what_is_as_deployed_is_no_drift(iot: ClaimIot) -> None:
    assert [] == drift(iot)


def test_a_list_that_is_behind_is_no_drift(iot: ClaimIot) -> None:
    assert [] == drift(iot, listed=False)


@pytest.mark.parametrize("deployed", [Deployed(), claim_stack(status="ROLLBACK_COMPLETE")])
def test_where_no_device_provisions_itself_nothing_is_asked(iot: ClaimIot, deployed: Deployed) -> None:
    assert ([], []) == (drift(iot, deployed, Table({}, missing=True)), iot.calls)


def test_a_claim_that_was_ended_has_no_certificate_to_miss(iot: ClaimIot) -> None:
    iot.certificates, iot.policies = {}, {}
    assert [] == drift(iot, claim_stack(None))


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
def test_a_certificate_that_is_not_active_is_said_with_both_ways_out(iot: ClaimIot, status: str) -> None:
    iot.certificates = {CLAIM_ID: status}
    assert [
        f"the claim certificate is {status}, and no device can provision itself: {RENEW}, or `aws iot "
        f"update-certificate --certificate-id {CLAIM_ID} --new-status ACTIVE --region eu-west-1`"
    ] == drift(iot)


def test_a_certificate_that_was_deleted_is_not_asked_for_its_policies(iot: ClaimIot) -> None:
    iot.certificates, iot.policies = {}, {}
    assert [f"the claim certificate was deleted by hand: {RENEW}"] == drift(iot)
    assert "list_attached_policies" not in iot.calls


@pytest.mark.parametrize(
    ("policies", "has"),
    [
        ({}, "no policy"),
        ({"Everything": {certificate_arn(CLAIM_ID)}}, "the policies Everything"),
        (
            {"lab-claim": {certificate_arn(CLAIM_ID)}, "Everything": {certificate_arn(CLAIM_ID)}},
            "the policies lab-claim, Everything",
        ),
    ],
)
def test_a_certificate_may_have_the_claims_policy_only(iot: ClaimIot, policies: dict[str, set[str]], has: str) -> None:
    iot.policies = policies
    assert [f"the claim certificate has {has}, and should have lab-claim only: {RENEW}"] == drift(iot)


def _disable_template(iot: ClaimIot) -> None:
    iot.templates["lab-rotate"] = False


def _disable_rule(iot: ClaimIot) -> None:
    iot.rules["lab_rotated"] = True


@pytest.mark.parametrize(
    ("hand", "says"),
    [
        (lambda iot: iot.templates.pop("lab"), f"the provisioning template lab was deleted by hand: {AGAIN}"),
        (
            _disable_template,
            "the provisioning template lab-rotate was disabled: `aws iot update-provisioning-template --template-name "
            "lab-rotate --enabled --region eu-west-1`",
        ),
        (
            lambda iot: iot.rules.pop("lab_rotated"),
            f"the rule lab_rotated was deleted by hand, and old certificates stay ACTIVE: {AGAIN}",
        ),
        (
            _disable_rule,
            "the rule lab_rotated was disabled, and old certificates stay ACTIVE: `aws iot enable-topic-rule "
            "--rule-name lab_rotated --region eu-west-1`",
        ),
    ],
    ids=["no template", "template disabled", "no rule", "rule disabled"],
)
def test_a_template_or_a_rule_that_does_not_work_is_said(
    iot: ClaimIot, hand: Callable[[ClaimIot], Any], says: str
) -> None:
    hand(iot)
    assert [says] == drift(iot)


def test_a_table_that_was_deleted_is_said(iot: ClaimIot) -> None:
    expected = [f"the table lab-serials was deleted by hand, and no device can register: {AGAIN}"]
    assert expected == drift(iot, table=Table({}, missing=True))


def test_a_right_that_is_missing_is_not_called_drift(iot: ClaimIot) -> None:
    iot.errors["describe_provisioning_template"] = refuse("AccessDeniedException", "iot:DescribeProvisioningTemplate")
    with pytest.raises(ClientError, match="iot:DescribeProvisioningTemplate"):
        drift(iot)

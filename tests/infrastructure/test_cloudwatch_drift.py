"""Whatever was changed by hand of what lets devices send is said with the command that repairs it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich", "aws_cdk")

from botocore.exceptions import ClientError  # noqa: E402

from infrastructure.cloudwatch_drift import drift_of_access, drift_of_groups  # noqa: E402
from infrastructure.deployed import Deployed, DeployedStack  # noqa: E402
from infrastructure.log_groups import LogGroup  # noqa: E402
from tests.fakes.fake_account import FakeIot  # noqa: E402
from tests.fakes.fake_cloudformation import refuse  # noqa: E402
from tests.infrastructure.test_cloudwatch import ROLE, AliasIot, FakeIam, deployed, make_fleet  # noqa: E402

OTHER = "the role lab-cloudwatch-Role was changed by hand, and allows other things than deployed: "
DELETE = "`aws cloudformation delete-stack --stack-name lab-cloudwatch --region eu-west-1`, then run this again"
ALIAS = f"role-alias --role-alias lab --role-arn {ROLE} --region eu-west-1`"


def drift(found: Deployed | None = None, iot: FakeIot | None = None, iam: FakeIam | None = None) -> list[str]:
    fleet, _ = make_fleet(found or deployed("a"), iot=iot, iam=iam)
    return [str(each) for each in drift_of_access(fleet)]


def test_what_is_as_deployed_is_no_drift() -> None:
    assert [] == drift()


@pytest.mark.parametrize(
    ("iam", "says"),
    [
        (FakeIam(False), "the role lab-cloudwatch-Role, or its policy, was deleted by hand: "),
        (FakeIam(trust={"Statement": []}), OTHER),
        (FakeIam(allowed={"Statement": []}), OTHER),
        (FakeIam(more="wider"), OTHER),
        (FakeIam(attached="AdministratorAccess"), OTHER),
    ],
)
def test_a_role_that_is_not_as_deployed_is_said_once(iam: FakeIam, says: str) -> None:
    assert [f"{says}{DELETE}; no log is lost"] == drift(iam=iam)


@pytest.mark.parametrize(
    ("iot", "says"),
    [
        (AliasIot(), f"the role alias lab was deleted by hand: `aws iot create-{ALIAS}"),
        (AliasIot(lab="arn:x"), f"the role alias lab was changed by hand and leads to arn:x: `aws iot update-{ALIAS}"),
    ],
)
def test_a_role_alias_that_does_not_lead_to_the_role_is_said(iot: FakeIot, says: str) -> None:
    assert [says] == drift(iot=iot)


def test_role_and_alias_are_both_said() -> None:
    assert 2 == len(drift(iot=AliasIot(), iam=FakeIam(False)))


@pytest.mark.parametrize(
    "found",
    [
        Deployed(),
        Deployed({"lab-cloudwatch": DeployedStack("lab-cloudwatch", "ROLLBACK_COMPLETE")}),
        Deployed({"lab-cloudwatch": DeployedStack("lab-cloudwatch", "CREATE_COMPLETE")}),  # without a role alias
    ],
)
def test_where_nothing_lets_devices_in_nothing_is_asked(found: Deployed) -> None:
    assert [] == drift(found, FakeIot(), FakeIam(False))


def test_a_right_that_is_missing_is_not_called_drift() -> None:
    class Forbidden(FakeIam):
        def get_role(self, RoleName: str) -> dict[str, Any]:  # noqa: N803
            raise refuse("AccessDenied", "User: x is not authorized to perform: iam:GetRole")

    with pytest.raises(ClientError, match="iam:GetRole"):
        drift(iam=Forbidden())


@pytest.mark.parametrize(
    ("days", "existing", "says"),
    [
        (
            30,
            {},
            "was deleted by hand: `aws logs create-log-group --log-group-name /fleet/a --region eu-west-1 && aws logs "
            "put-retention-policy --log-group-name /fleet/a --retention-in-days 30 --region eu-west-1`",
        ),
        (None, {}, "was deleted by hand: `aws logs create-log-group --log-group-name /fleet/a --region eu-west-1`"),
        (
            30,
            {"/fleet/a": 3},
            "was changed by hand, and keeps its events 3 days: `aws logs put-retention-policy --log-group-name "
            "/fleet/a --retention-in-days 30 --region eu-west-1`",
        ),
        (
            30,
            {"/fleet/a": None},
            "was changed by hand, and keeps its events for ever: `aws logs put-retention-policy --log-group-name "
            "/fleet/a --retention-in-days 30 --region eu-west-1`",
        ),
        (
            None,
            {"/fleet/a": 1},
            "was changed by hand, and keeps its events 1 day: `aws logs delete-retention-policy --log-group-name "
            "/fleet/a --region eu-west-1`",
        ),
    ],
)
def test_a_log_group_is_repaired_by_the_command_that_is_said(
    days: int | None, existing: dict[str, int | None], says: str
) -> None:
    fleet, _ = make_fleet()
    groups = [LogGroup("/fleet/a", "a", 1, days), LogGroup("/fleet/b", "b", 1, None)]
    found = drift_of_groups(fleet, groups, {"/fleet/b": None, **existing})
    assert [f"the log group /fleet/a {says}"] == [str(each) for each in found]


def test_groups_that_keep_as_deployed_are_no_drift() -> None:
    fleet, _ = make_fleet()
    groups = [LogGroup("/fleet/a", "a", 1, 30), LogGroup("/fleet/b", "b", 1, None)]
    assert [] == list(drift_of_groups(fleet, groups, {"/fleet/a": 30, "/fleet/b": None, "/theirs": 1}))

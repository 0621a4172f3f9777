"""Which log groups are the fleet's by its stacks' templates, and how long each in the account keeps its events."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich", "aws_cdk")

from infrastructure.deployed import Deployed, DeployedStack  # noqa: E402
from infrastructure.log_groups import LogGroup, days_text, deployed_groups, existing_groups  # noqa: E402
from infrastructure.names import TAG, Names  # noqa: E402
from tests.fakes.fake_account import make_account, make_fleet  # noqa: E402
from tests.infrastructure.test_cloudwatch import FakeLogs  # noqa: E402


def group(name: str, thing: str | None, days: int | None) -> dict[str, Any]:
    properties = {"LogGroupName": name, **({"RetentionInDays": days} if days else {})}
    noted = {"Metadata": {TAG: thing}} if thing is not None else {}
    return {"Type": "AWS::Logs::LogGroup", "Properties": properties, **noted}


def stack(name: str, **resources: dict[str, Any]) -> DeployedStack:
    return DeployedStack(name, "CREATE_COMPLETE", template={"Resources": resources})


def groups_of(*stacks: DeployedStack) -> list[LogGroup]:
    return list(deployed_groups(make_fleet(Names("lab"), Deployed({each.name: each for each in stacks}))))


def test_each_group_is_told_with_its_thing_its_stack_and_how_long_it_keeps() -> None:
    first = stack("lab-logs-1", A=group("/fleet/a", "a", 30), S=group("/shared", "", None))
    second = stack("lab-logs-12", B=group("/fleet/b", "b", 3653))
    expected = [
        LogGroup("/fleet/a", "a", 1, 30),
        LogGroup("/shared", "", 1, None),
        LogGroup("/fleet/b", "b", 12, 3653),
    ]
    assert expected == groups_of(first, second)


@pytest.mark.parametrize("name", ["lab-engine", "lab-logs-", "lab-logs-0", "lab-logs-1x", "lab-2-logs-1", "logs-1"])
def test_groups_of_other_stacks_and_fleets_are_none_of_them(name: str) -> None:
    assert [] == groups_of(stack(name, A=group("/fleet/a", "a", 30)))


def test_nothing_else_in_a_stack_is_a_log_group() -> None:
    stream = {"Type": "AWS::Logs::LogStream", "Properties": {"LogGroupName": "/fleet/a"}}
    assert [] == groups_of(stack("lab-logs-1", S=stream), DeployedStack("lab-logs-2", "ROLLBACK_COMPLETE"))


def test_a_group_of_an_earlier_release_that_notes_no_thing_is_nobodys() -> None:
    assert [LogGroup("/fleet/a", "", 1, None)] == groups_of(stack("lab-logs-1", A=group("/fleet/a", None, None)))


def existing(logs: FakeLogs, *names: str) -> dict[str, int | None]:
    return existing_groups(make_account(logs=logs), names)


def test_all_pages_are_read_and_a_group_without_retention_keeps_for_ever() -> None:
    assert {"/fleet/a": 30, "/fleet/b": None, "/fleet/c": 3} == existing(FakeLogs(a=30, b=None, c=3), "/fleet/a", "/fl")


@pytest.mark.parametrize(
    ("names", "asked"),
    [
        (["/fleet/rpi-0001", "/fleet/rpi-0002"], {"logGroupNamePrefix": "/fleet/rpi-000"}),
        (["/fleet/a"], {"logGroupNamePrefix": "/fleet/a"}),
        (["/fleet/a", "other"], {}),  # an empty prefix is refused by CloudWatch Logs
    ],
)
def test_only_groups_that_may_be_meant_are_asked_for(names: list[str], asked: dict[str, str]) -> None:
    logs = FakeLogs(a=30)
    existing(logs, *names)
    assert [asked] == logs.asked


def test_a_day_is_one() -> None:
    assert ["1 day", "3 days", "3653 days"] == [days_text(days) for days in (1, 3, 3653)]

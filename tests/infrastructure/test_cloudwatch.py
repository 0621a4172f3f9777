from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich", "aws_cdk")

from infrastructure.cloudwatch import (  # noqa: E402
    GROUPS_PER_STACK,
    CloudWatchPlan,
    is_deployed,
    plan_cloudwatch,
    refuse_lost_logs,
)
from infrastructure.deployed import Deployed, DeployedStack  # noqa: E402
from infrastructure.description import CloudWatchStack, LogsStack, StackDescription  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.fleet import Fleet  # noqa: E402
from infrastructure.names import TAG, Names  # noqa: E402
from infrastructure.screen import Screen  # noqa: E402
from infrastructure.sending import Place, Sending  # noqa: E402
from infrastructure.summary import show_cloudwatch, show_destruction  # noqa: E402
from tests.fakes.fake_account import FakeIot, make_account  # noqa: E402
from tests.fakes.fake_cloudformation import refuse  # noqa: E402

NAMES = Names("lab")
SENDING = Sending("Lab", (Place("/fleet/{thing_name}", None),), 30)
ROLE = "arn:aws:iam::123456789012:role/lab-cloudwatch-Role"


class FakeLogs:
    """CloudWatch Logs: its groups, two on a page."""

    def __init__(self, **groups: int | None) -> None:
        self.groups = {f"/fleet/{name.replace('_', '-')}": days for name, days in groups.items()}
        self.asked: list[dict[str, str]] = []

    def get_paginator(self, operation: str) -> FakeLogs:
        assert "describe_log_groups" == operation
        return self

    def paginate(self, **asked: str) -> Iterator[dict[str, Any]]:
        self.asked.append(asked)
        found = [
            (name, days) for name, days in self.groups.items() if name.startswith(asked.get("logGroupNamePrefix", ""))
        ]
        for start in range(0, len(found) or 1, 2):
            yield {
                "logGroups": [
                    {"logGroupName": name, **({"retentionInDays": days} if days else {})}
                    for name, days in found[start : start + 2]
                ]
            }


TRUST = {"Statement": [{"Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}}]}
ALLOWED = {
    "Statement": [{"Resource": "arn:aws:logs:eu-west-1:123456789012:log-group:/fleet/${credentials-iot:ThingName}:*"}]
}


class FakeIam:
    """IAM with a role, or without."""

    class exceptions:  # noqa: N801 - botocore's name
        class NoSuchEntityException(Exception): ...

    def __init__(
        self, exists: bool = True, trust: Any = TRUST, allowed: Any = ALLOWED, more: str = "", attached: str = ""
    ) -> None:
        self.exists, self.trust, self.allowed, self.more, self.attached = exists, trust, allowed, more, attached

    def get_role(self, RoleName: str) -> dict[str, Any]:  # noqa: N803
        if not self.exists or RoleName != "lab-cloudwatch-Role":
            raise self.exceptions.NoSuchEntityException
        return {"Role": {"AssumeRolePolicyDocument": self.trust}}

    def list_role_policies(self, RoleName: str) -> dict[str, Any]:  # noqa: N803
        return {"PolicyNames": ["send", *self.more.split()]}

    def list_attached_role_policies(self, RoleName: str) -> dict[str, Any]:  # noqa: N803
        return {"AttachedPolicies": self.attached.split()}

    def get_role_policy(self, RoleName: str, PolicyName: str) -> dict[str, Any]:  # noqa: N803
        return {"PolicyDocument": self.allowed}


class AliasIot(FakeIot):
    """AWS IoT with role aliases: name to role."""

    def __init__(self, **aliases: str) -> None:
        super().__init__()
        self.aliases = aliases

    def describe_role_alias(self, roleAlias: str) -> dict[str, Any]:  # noqa: N803
        if roleAlias not in self.aliases:
            raise refuse("ResourceNotFoundException", f"{roleAlias} does not exist")
        return {"roleAliasDescription": {"roleArn": self.aliases[roleAlias]}}


def deployed(*things: str, stack: int = 1, days: int | None = 30, namespace: str = "Lab") -> Deployed:
    """Return what a deployment for things leaves."""
    groups = {f"/fleet/{thing}": thing for thing in things}
    logs = LogsStack(NAMES, stack, groups, days)
    resources = {
        f"G{number}": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": name, **({"RetentionInDays": days} if days else {})},
            "Metadata": {TAG: thing},
        }
        for number, (name, thing) in enumerate(groups.items())
    }
    start = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group"
    send = {"Statement": [{"Resource": {"Fn::Sub": f"{start}:/fleet/${{!credentials-iot:ThingName}}:*"}}]}
    trust = {"Statement": [{"Condition": {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}}]}
    policies = [{"PolicyName": "send", "PolicyDocument": send}]
    role = {"AssumeRolePolicyDocument": trust, "Policies": policies}
    alias = {
        "RoleAlias": {"Type": "AWS::IoT::RoleAlias", "Properties": {}},
        "Role": {"Type": "AWS::IAM::Role", "Properties": role},
    }
    access = CloudWatchStack(NAMES, namespace, SENDING.resources)
    stacks = [as_deployed(access, alias, RoleArn=ROLE), *([as_deployed(logs, resources)] if things else [])]
    return Deployed({each.name: each for each in stacks})


def as_deployed(description: StackDescription, resources: Any, **outputs: str) -> DeployedStack:
    template = {"Metadata": {TAG: {"digest": description.digest}}, "Resources": resources}
    return DeployedStack(description.stack_name, "CREATE_COMPLETE", "", outputs, template)


def make_fleet(
    found: Deployed | None = None, logs: FakeLogs | None = None, iot: FakeIot | None = None, iam: FakeIam | None = None
) -> tuple[Fleet, io.StringIO]:
    printed = io.StringIO()
    clients = {"logs": logs or FakeLogs(), "iam": iam or FakeIam()}
    account = make_account(iot=iot or AliasIot(lab=ROLE), **clients)
    return Fleet(account, NAMES, Screen(printed), found or Deployed()), printed


def plan(fleet: Fleet, *things: str, sending: Sending | None = SENDING) -> CloudWatchPlan:
    found = plan_cloudwatch(fleet, sending, things)
    assert found is not None
    return found


def changes(found: CloudWatchPlan) -> dict[str, str]:
    return {stack.name: stack.change for stack, _ in found.stacks}


def test_nothing_is_planned_where_nothing_is_and_nothing_is_to_be() -> None:
    fleet, _ = make_fleet()
    assert plan_cloudwatch(fleet, None, ["a"]) is None
    assert not is_deployed(fleet)


def test_everything_is_created_and_shown() -> None:
    fleet, printed = make_fleet()
    found = plan(fleet, "a", "b")
    assert {"lab-cloudwatch": "create", "lab-logs-1": "create"} == changes(found)
    assert LogsStack(NAMES, 1, {"/fleet/a": "a", "/fleet/b": "b"}, 30) in found.descriptions
    show_cloudwatch(fleet, found)
    assert [
        "sends     metrics to Lab; CloudWatch charges for each metric, thing and month",
        "sends     logs to /fleet/{thing_name}, kept for 30 days",
        "log group 2: /fleet/a, /fleet/b (new)",
        "stack     lab-cloudwatch is created",
        "stack     lab-logs-1 is created",
    ] == printed.getvalue().splitlines()


def test_what_is_there_stays_and_its_log_groups_are_listed_by_what_their_names_begin_with() -> None:
    logs = FakeLogs(a=30, b=30)
    fleet, _ = make_fleet(deployed("a", "b"), logs)
    found = plan(fleet, "a", "b")
    assert not found.changes
    assert ((), (), ()) == (found.new, found.gone, found.drift)
    assert [{"logGroupNamePrefix": "/fleet/"}] == logs.asked


def test_a_group_stays_in_its_stack_and_a_full_one_takes_no_more() -> None:
    things = [f"rpi-{number:04d}" for number in range(GROUPS_PER_STACK)]
    fleet, _ = make_fleet(deployed(*things), FakeLogs(**{thing.replace("-", "_"): 30 for thing in things}))
    found = plan(fleet, "new", *reversed(things))
    assert {"lab-cloudwatch": "keep", "lab-logs-1": "keep", "lab-logs-2": "create"} == changes(found)
    assert [LogsStack(NAMES, 2, {"/fleet/new": "new"}, 30)] == found.descriptions


def test_a_stack_that_nothing_is_left_in_goes_and_what_is_lost_is_shown_by_name() -> None:
    fleet, printed = make_fleet(deployed("a", "b"), FakeLogs(a=30, b=30))
    found = plan(fleet, sending=Sending("Lab", (), None))
    assert {"lab-cloudwatch": "update"} == {key: value for key, value in changes(found).items() if value != "delete"}
    assert "delete" == changes(found)["lab-logs-1"]
    show_cloudwatch(fleet, found)
    assert "log group 2: /fleet/a, /fleet/b (DELETED with all that is in them)" in printed.getvalue()
    show_destruction(fleet, [])
    assert "log group 2: /fleet/a, /fleet/b (deleted with all that is in them)" in printed.getvalue()


def test_giving_it_up_deletes_all_its_stacks() -> None:
    fleet, printed = make_fleet(deployed("a"), FakeLogs(a=30))
    found = plan(fleet, "a", sending=None)
    assert {"lab-cloudwatch": "delete", "lab-logs-1": "delete"} == changes(found)
    assert [] == found.descriptions
    show_cloudwatch(fleet, found)
    assert "CloudWatch is given up (--no-cloudwatch)" in printed.getvalue()
    refuse_lost_logs(found, (), None)


@pytest.mark.parametrize(("going", "most"), [((), None), ((), 1), (("a",), 0)])
def test_logs_of_things_that_stay_are_not_deleted_without_being_asked(going: tuple[str, ...], most: int | None) -> None:
    fleet, _ = make_fleet(deployed("a", "b"), FakeLogs(a=30, b=30))
    found = plan(fleet, "a", "b", sending=Sending("Lab", (Place("/other/{thing_name}", None),), 30))
    losing = 2 - len(going)
    with pytest.raises(
        DeployError, match=f"the old ones of {losing} things would be .* give --delete-at-most {losing}"
    ):
        refuse_lost_logs(found, going, most)
    refuse_lost_logs(found, going, losing)
    refuse_lost_logs(plan(fleet, "b"), ("a",), None)


def test_a_group_of_somebody_elses_is_refused_with_what_to_do() -> None:
    fleet, _ = make_fleet(logs=FakeLogs(a=None, b=3))
    with pytest.raises(
        DeployError, match=r"/fleet/a exists .* outside this fleet, as do 1 more: delete it .*`aws logs"
    ):
        plan(fleet, "a", "b", "c")


def test_drift_of_access_and_of_groups_is_planned_and_shown() -> None:
    fleet, printed = make_fleet(deployed("a", "b"), FakeLogs(b=30), AliasIot())
    found = plan(fleet, "a", "b")
    assert ["the role alias lab", "the log group /fleet/a"] == [
        str(each).partition(" was deleted")[0] for each in found.drift
    ]
    show_cloudwatch(fleet, found)
    assert [f"drift     {each}" for each in found.drift] == printed.getvalue().splitlines()[-2:]


def test_it_is_deployed_as_long_as_the_policy_says_so() -> None:
    policy = {"PolicyDocument": {"Statement": [{"Action": "iot:AssumeRoleWithCertificate"}]}}
    template = {"Resources": {"Policy": {"Type": "AWS::IoT::Policy", "Properties": policy}}}
    shared = DeployedStack("lab-fleet", "CREATE_COMPLETE", template=template)
    assert is_deployed(make_fleet(Deployed({"lab-fleet": shared}))[0])
    assert is_deployed(make_fleet(deployed("a"))[0])

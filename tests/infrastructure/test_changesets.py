from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich")

from infrastructure import changesets, watch  # noqa: E402
from infrastructure.changesets import apply_template, delete_stack  # noqa: E402
from infrastructure.deployed import DeployedStack  # noqa: E402
from infrastructure.errors import DeployError, Refused  # noqa: E402
from infrastructure.watch import StackEvent  # noqa: E402
from tests.fakes.fake_account import as_planned, make_account, things_template  # noqa: E402
from tests.fakes.fake_cloudformation import FakeCloudFormation, refuse  # noqa: E402

NAME = "lab-things-1"
CHANGED = (
    f"the stack {NAME} was changed meanwhile, or is busy: another deployment is under way; run this again when it has "
    "ended"
)
ONE, TWO = {"a": "csr-a"}, {"a": "csr-a", "b": "csr-b"}
DENIED = "User: arn:aws:iam::123456789012:user/d is not authorized to perform: iot:CreateThing on resource: x"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changesets, "SOONEST", 0.0)
    monkeypatch.setattr(watch, "SOONEST", 0.0)


@pytest.fixture
def aws() -> FakeCloudFormation:
    return FakeCloudFormation()


def ignore(event: StackEvent) -> None:
    pass


def apply(
    aws: FakeCloudFormation,
    template: dict[str, Any],
    before: DeployedStack | None,
    on_event: Callable[[StackEvent], None] = ignore,
) -> None:
    apply_template(make_account(aws), NAME, json.dumps(template), before, on_event)


def deployed(aws: FakeCloudFormation, requests: dict[str, str], status: str = "CREATE_COMPLETE") -> DeployedStack:
    aws.add(NAME, status, things_template(requests))
    return as_planned(make_account(aws), NAME)


def status_of(aws: FakeCloudFormation) -> str | None:
    stack = aws.stack(NAME)
    return stack.status if stack else None


def error_of(work: Callable[[], None]) -> DeployError:
    with pytest.raises(DeployError) as raised:
        work()
    return raised.value


def test_an_execution_has_a_token_so_that_a_second_try_of_the_call_is_no_second_deployment(
    aws: FakeCloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = aws.execute_change_set
    monkeypatch.setattr(aws, "execute_change_set", lambda **call: (execute(**call), execute(**call)))
    apply(aws, things_template(ONE), None)
    assert "CREATE_COMPLETE" == next(iter(aws.stacks.values())).status


def test_nothing_is_executed_where_nothing_changes(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE)
    apply(aws, things_template(ONE, digest="another"), before)
    assert "execute_change_set" not in aws.calls
    assert {} == aws.change_sets


def test_an_output_is_change_enough(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE)
    template = things_template(ONE, digest="another")
    template["Outputs"]["Digest"] = {"Value": "another"}
    apply(aws, template, before)
    assert "another" == as_planned(make_account(aws), NAME).digest


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"])
def test_the_ruin_of_a_creation_is_deleted_and_made_again(aws: FakeCloudFormation, status: str) -> None:
    ruin = aws.add(NAME, status)
    apply(aws, things_template(ONE), as_planned(make_account(aws), NAME))
    assert "CREATE_COMPLETE" == status_of(aws)
    assert "DELETE_COMPLETE" == ruin.status


def test_a_stack_that_was_never_executed_is_created(aws: FakeCloudFormation) -> None:
    aws.add(NAME, "REVIEW_IN_PROGRESS")
    apply(aws, things_template(ONE), as_planned(make_account(aws), NAME))
    assert "CREATE_COMPLETE" == status_of(aws)


def test_a_missing_permission_is_named(aws: FakeCloudFormation) -> None:
    aws.fails["aThing"] = DENIED
    error = error_of(lambda: apply(aws, things_template(ONE), None))
    assert isinstance(error, Refused)
    assert "iot:CreateThing" == error.action
    assert "the permission iot:CreateThing is missing; infrastructure/deployer-policy.json has all" in str(error)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (DENIED, "the permission iot:CreateThing is missing"),
        ("Limit for resources exceeded", f"the stack {NAME} could not be updated: Limit for resources exceeded"),
    ],
)
def test_a_change_set_that_fails_says_why(aws: FakeCloudFormation, reason: str, expected: str) -> None:
    before = deployed(aws, ONE)

    def fail() -> None:
        for change_set in aws.change_sets.values():
            change_set.update(end="FAILED", StatusReason=reason)

    aws.before["describe_change_set"] = fail
    assert expected in str(error_of(lambda: apply(aws, things_template(TWO), before)))
    assert {} == aws.change_sets


def clean_up(aws: FakeCloudFormation, *statuses: str) -> None:
    """Let CloudFormation try to delete a replaced certificate after an update, with these results."""
    settle = aws._settle

    def settle_and_clean_up(stack: Any, *rest: Any) -> bool:
        failed = settle(stack, *rest)
        end = stack.events.pop(0)
        for status in statuses:
            aws._tell(stack, "aCertificate", "AWS::IoT::Certificate", status, "in use" if "FAILED" in status else None)
        stack.events.insert(0, end)
        return failed

    aws._settle = settle_and_clean_up  # type: ignore[method-assign]


def test_a_certificate_that_is_deleted_at_a_later_try_is_none_that_is_left(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE)
    clean_up(aws, "DELETE_FAILED", "DELETE_FAILED", "DELETE_COMPLETE")
    apply(aws, things_template({"a": "rotated"}), before)
    assert "UPDATE_COMPLETE" == status_of(aws)


def test_a_template_that_cloudformation_does_not_take_is_not_sent(aws: FakeCloudFormation) -> None:
    template = things_template(ONE)
    room = changesets.LARGEST_TEMPLATE - len(json.dumps(template)) - len(', "Description": ""')
    apply(aws, {**template, "Description": "x" * room}, None)
    error = error_of(
        lambda: apply(aws, {**template, "Description": "x" * (room + 1)}, as_planned(make_account(aws), NAME))
    )
    assert f"the stack {NAME} would have a template of 51201 bytes, of which CloudFormation takes 51200" in str(error)
    assert 1 == aws.calls.count("create_change_set")


# Two deployments at once.


def other_deploys(aws: FakeCloudFormation, requests: dict[str, str], status: str = "UPDATE_COMPLETE") -> None:
    stack = aws.stack(NAME) or aws.add(NAME)
    stack.status, stack.template = status, things_template(requests)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({**ONE, "c": "csr-c"}, id="adds a thing"),
        pytest.param({**ONE, "b": "another csr-b"}, id="adds the same thing with another key"),
        pytest.param({"a": "rotated"}, id="rotates a thing"),
        pytest.param({}, id="removes a thing"),
    ],
)
@pytest.mark.parametrize("when", ["create_change_set", "describe_change_set"])
def test_what_another_deployment_did_since_the_plan_is_not_undone(
    aws: FakeCloudFormation, other: dict[str, str], when: str
) -> None:
    before = deployed(aws, ONE)
    aws.before[when] = lambda: other_deploys(aws, other)
    assert CHANGED == str(error_of(lambda: apply(aws, things_template(TWO), before)))
    assert things_template(other) == aws.stack(NAME).template  # type: ignore[union-attr]
    assert {} == aws.change_sets


def test_a_stack_that_was_created_meanwhile_stays(aws: FakeCloudFormation) -> None:
    aws.before["create_change_set"] = lambda: other_deploys(aws, {"c": "csr-c"}, "CREATE_COMPLETE")
    assert CHANGED == str(error_of(lambda: apply(aws, things_template(ONE), None)))
    assert "cThing" in aws.resources(NAME)


def test_a_ruin_that_another_deployment_has_made_good_is_not_deleted(aws: FakeCloudFormation) -> None:
    ruin = aws.add(NAME, "ROLLBACK_COMPLETE")
    before = as_planned(make_account(aws), NAME)
    ruin.status = "DELETE_COMPLETE"
    aws.add(NAME, "CREATE_COMPLETE", things_template({"c": "csr-c"}))
    assert CHANGED == str(error_of(lambda: apply(aws, things_template(ONE), before)))
    assert "cThing" in aws.resources(NAME)


def test_a_stack_that_was_deleted_meanwhile_is_said_to_have_changed(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE)
    aws.stack(NAME).status = "DELETE_COMPLETE"  # type: ignore[union-attr]
    assert CHANGED == str(error_of(lambda: apply(aws, things_template(TWO), before)))


@pytest.mark.parametrize("when", ["describe_change_set", "execute_change_set"])
def test_a_change_set_that_another_execution_swept_away_is_said_to_be_late(aws: FakeCloudFormation, when: str) -> None:
    before = deployed(aws, ONE)
    aws.before[when] = aws.change_sets.clear
    assert CHANGED == str(error_of(lambda: apply(aws, things_template(TWO), before)))


@pytest.mark.parametrize("status", ["UPDATE_IN_PROGRESS", "DELETE_FAILED", "ROLLBACK_COMPLETE"])
def test_a_stack_that_cannot_be_updated_any_more_is_said_to_have_changed(aws: FakeCloudFormation, status: str) -> None:
    before = deployed(aws, ONE)
    aws.stack(NAME).status = status  # type: ignore[union-attr]
    assert CHANGED == str(error_of(lambda: apply(aws, things_template(TWO), before)))


@pytest.mark.parametrize("code", ["OperationInProgressException", "InvalidChangeSetStatus", "ChangeSetNotFound"])
@pytest.mark.parametrize("when", ["create_change_set", "describe_change_set", "execute_change_set"])
def test_another_deployment_is_known_by_awss_codes_whatever_the_words(
    aws: FakeCloudFormation, code: str, when: str
) -> None:
    def refuse_it() -> None:
        raise refuse(code, "words")

    aws.before[when] = refuse_it
    assert CHANGED == str(error_of(lambda: apply(aws, things_template(ONE), None)))


def test_a_refusal_that_is_no_other_deployments_fault_stays_itself(aws: FakeCloudFormation) -> None:
    def deny() -> None:
        raise refuse("AccessDenied", "no", "ExecuteChangeSet")

    aws.before["execute_change_set"] = deny
    with pytest.raises(Exception, match="AccessDenied"):
        apply(aws, things_template(ONE), None)
    assert {} == aws.change_sets


# What a change set does that the plan did not show.


@pytest.mark.parametrize("replacement", ["True", "Conditional"])
@pytest.mark.parametrize("changed", ["aThing", "aCertificate"])
def test_no_thing_and_no_certificate_is_replaced_unless_its_key_is(
    aws: FakeCloudFormation, changed: str, replacement: str
) -> None:
    before = deployed(aws, ONE)
    template = things_template(ONE)
    template["Resources"][changed]["Properties"]["New"] = "property"

    def make_sure() -> None:
        for change_set in aws.change_sets.values():
            change_set["changes"][0]["ResourceChange"]["Replacement"] = replacement

    aws.before["describe_change_set"] = make_sure
    error = error_of(lambda: apply(aws, template, before))
    assert f"AWS would replace {changed}" in str(error)
    assert "execute_change_set" not in aws.calls
    assert {} == aws.change_sets


def test_surprises_are_found_on_later_pages_too(aws: FakeCloudFormation) -> None:
    before = deployed(aws, {"z": "csr-z"})
    template = things_template({"a": "csr-a", "b": "csr-b", "z": "csr-z"})
    template["Resources"]["zCertificate"]["Properties"]["New"] = "property"
    assert "AWS would replace zCertificate" in str(error_of(lambda: apply(aws, template, before)))


def test_a_certificate_with_another_key_is_replaced(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE)
    apply(aws, things_template({"a": "rotated"}), before)
    assert "UPDATE_COMPLETE" == status_of(aws)


def test_other_resources_may_be_replaced(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE)
    template = things_template(ONE)
    template["Resources"]["aIdentity"]["Properties"]["New"] = "property"
    apply(aws, template, before)
    assert "UPDATE_COMPLETE" == status_of(aws)


# Deletion.


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "DELETE_FAILED", "REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE"])
def test_a_stack_is_deleted(aws: FakeCloudFormation, status: str) -> None:
    aws.add(NAME, status, things_template(ONE))
    delete_stack(make_account(aws), as_planned(make_account(aws), NAME), ignore)
    assert aws.stack(NAME) is None


def test_a_stack_that_is_gone_already_is_deleted(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE)
    aws.stack(NAME).status = "DELETE_COMPLETE"  # type: ignore[union-attr]
    delete_stack(make_account(aws), before, ignore)
    assert "delete_stack" not in aws.calls


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "REVIEW_IN_PROGRESS"])
def test_a_stack_that_holds_more_than_was_shown_is_not_deleted(aws: FakeCloudFormation, status: str) -> None:
    stack = aws.add(NAME, status, things_template(ONE) if status == "CREATE_COMPLETE" else {})
    before = as_planned(make_account(aws), NAME)
    stack.status, stack.template = "UPDATE_COMPLETE", things_template(TWO)
    assert CHANGED == str(error_of(lambda: delete_stack(make_account(aws), before, ignore)))
    assert "bThing" in aws.resources(NAME)


def test_a_stack_that_was_recreated_is_not_deleted_though_it_looks_the_same(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE)
    aws.stack(NAME).status = "DELETE_COMPLETE"  # type: ignore[union-attr]
    aws.add(NAME, template=things_template(ONE))
    assert CHANGED == str(error_of(lambda: delete_stack(make_account(aws), before, ignore)))
    assert "aThing" in aws.resources(NAME)


def test_a_busy_stack_is_not_deleted(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE)
    aws.stack(NAME).status = "UPDATE_IN_PROGRESS"  # type: ignore[union-attr]
    error = error_of(lambda: delete_stack(make_account(aws), before, ignore))
    assert f"the stack {NAME} is busy (UPDATE_IN_PROGRESS)" in str(error)


def test_a_stack_that_becomes_busy_is_said_to_be(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE)

    def busy() -> None:
        text = "Stack [x] cannot be deleted while in status UPDATE_IN_PROGRESS"
        raise refuse("ValidationError", text, "DeleteStack")

    aws.before["delete_stack"] = busy
    assert CHANGED == str(error_of(lambda: delete_stack(make_account(aws), before, ignore)))


def test_a_deletion_that_fails_names_what_is_left(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE)
    aws.fails["aCertificate"] = "still attached"
    error = error_of(lambda: delete_stack(make_account(aws), before, ignore))
    assert f"the stack {NAME} could not be deleted: aCertificate: still attached" == str(error)
    assert "DELETE_FAILED" == status_of(aws)
    aws.fails.clear()
    delete_stack(make_account(aws), before, ignore)
    assert aws.stack(NAME) is None


def test_what_is_to_be_retained_is_not_deleted(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE)
    aws.fails["aCertificate"] = "still attached"
    delete_stack(make_account(aws), before, ignore, retain=("aCertificate",))
    assert aws.stack(NAME) is None

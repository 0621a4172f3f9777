"""A stack's events are told in their order, until it has ended."""

from __future__ import annotations

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich")
from infrastructure import changesets, watch  # noqa: E402
from infrastructure.changesets import delete_stack  # noqa: E402
from infrastructure.watch import LeftBehind, StackEvent, StackFailed  # noqa: E402
from tests.fakes.fake_account import make_account, things_template  # noqa: E402
from tests.fakes.fake_cloudformation import FakeCloudFormation  # noqa: E402
from tests.infrastructure.test_changesets import apply, clean_up, deployed, error_of, ignore, status_of  # noqa: E402

NAME = "lab-things-1"


ONE, TWO = {"a": "csr-a"}, {"a": "csr-a", "b": "csr-b"}


DENIED = "User: arn:aws:iam::123456789012:user/d is not authorized to perform: iot:CreateThing on resource: x"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changesets, "SOONEST", 0.0)
    monkeypatch.setattr(watch, "SOONEST", 0.0)


@pytest.fixture
def aws() -> FakeCloudFormation:
    return FakeCloudFormation()


def test_a_stack_is_created_with_all_its_events_in_their_order(aws: FakeCloudFormation) -> None:
    events: list[StackEvent] = []
    apply(aws, things_template(TWO), None, events.append)
    assert "CREATE_COMPLETE" == status_of(aws)
    statuses = [event.status for event in events if event.logical_id == "aCertificate"]
    assert ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"] == statuses
    assert 2 + 2 * len(things_template(TWO)["Resources"]) == len(events)
    assert "CREATE_COMPLETE" == events[-1].status
    assert "physical-bThing" == next(event.physical_id for event in events if event.logical_id == "bThing")


def test_an_update_tells_of_its_own_events_only(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE)
    events: list[StackEvent] = []
    apply(aws, things_template(TWO), before, events.append)
    assert "UPDATE_COMPLETE" == status_of(aws)
    assert {"bThing", "bCertificate", "bIdentity", NAME} == {event.logical_id for event in events}


def test_an_update_that_has_not_begun_yet_is_not_done(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE, "UPDATE_COMPLETE")
    aws.slow = 5
    apply(aws, things_template(TWO), before)
    assert aws.resources(NAME) == sorted(things_template(TWO)["Resources"])


def test_a_deletion_that_has_not_begun_yet_has_not_failed(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE)
    aws.slow = 5
    delete_stack(make_account(aws), before, ignore)
    assert aws.stack(NAME) is None


def test_a_status_that_no_event_confirms_counts_after_a_while(
    aws: FakeCloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = deployed(aws, ONE, "UPDATE_COMPLETE")
    monkeypatch.setattr(watch, "PATIENCE", -1.0)
    aws.slow = 5
    apply(aws, things_template(TWO), before)
    assert aws.resources(NAME) == sorted(things_template(ONE)["Resources"])


@pytest.mark.parametrize(("before", "verb"), [({}, "created"), (ONE, "updated")])
def test_a_failure_names_the_resource_and_what_stays_is_what_was(
    aws: FakeCloudFormation, before: dict[str, str], verb: str
) -> None:
    plan = deployed(aws, before) if before else None
    aws.fails["bThing"] = "Resource of type 'AWS::IoT::Thing' with identifier 'b' already exists."
    error = error_of(lambda: apply(aws, things_template(TWO), plan))
    assert f"the stack {NAME} could not be {verb}: bThing: {aws.fails['bThing']}" == str(error)
    assert isinstance(error, StackFailed)
    assert frozenset({"bThing"}) == error.failed
    assert ("UPDATE_ROLLBACK_COMPLETE" if before else "ROLLBACK_COMPLETE") == status_of(aws)


def test_what_was_only_cancelled_is_not_called_a_failure(aws: FakeCloudFormation) -> None:
    aws.fails = {"aThing": "Resource creation cancelled", "bThing": "Limit exceeded"}
    error = error_of(lambda: apply(aws, things_template(TWO), None))
    assert f"the stack {NAME} could not be created: bThing: Limit exceeded" == str(error)


def test_a_certificate_that_could_not_be_deleted_is_named(aws: FakeCloudFormation) -> None:
    before = deployed(aws, ONE)
    clean_up(aws, "DELETE_FAILED", "DELETE_FAILED", "DELETE_FAILED")
    left = "physical-aCertificate (AWS::IoT::Certificate): in use"
    expected = f"the stack {NAME} is as it should be, but this is left, to be deleted by hand: {left}"
    error = error_of(lambda: apply(aws, things_template({"a": "rotated"}), before))
    assert (expected, LeftBehind) == (str(error), type(error))
    assert "UPDATE_COMPLETE" == status_of(aws)


def test_what_could_not_be_deleted_for_want_of_a_permission_names_it() -> None:
    event = StackEvent(NAME, "aCertificate", "c1", "AWS::IoT::Certificate", "DELETE_FAILED", DENIED)
    assert "c1 (AWS::IoT::Certificate): the permission iot:CreateThing is missing;" in str(LeftBehind(NAME, [event]))


def test_a_failure_without_a_reason_says_so(aws: FakeCloudFormation, monkeypatch: pytest.MonkeyPatch) -> None:
    before = deployed(aws, ONE)
    monkeypatch.setattr(watch, "PATIENCE", -1.0)
    aws.slow = 5
    error = error_of(lambda: delete_stack(make_account(aws), before, ignore))
    assert f"the stack {NAME} could not be deleted: AWS gives no reason" == str(error)

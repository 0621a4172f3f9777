from __future__ import annotations

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich")

from infrastructure import watch  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.fleet import Fleet  # noqa: E402
from infrastructure.names import Names  # noqa: E402
from infrastructure.underway import read_idle  # noqa: E402
from tests.fakes.fake_account import FakeIot, make_account, make_screen, things_template  # noqa: E402
from tests.fakes.fake_cloudformation import FakeCloudFormation  # noqa: E402


class Account:
    """An account in which another deployment may be under way."""

    def __init__(self) -> None:
        self.aws, self.iot = FakeCloudFormation(), FakeIot()
        screen, self._printed = make_screen()
        self._fleet = Fleet(make_account(self.aws, self.iot), Names("lab"), screen)

    def read(self) -> Fleet:
        fleet, self.registry = read_idle(self._fleet)
        return fleet

    @property
    def lines(self) -> list[str]:
        return self._printed.getvalue().splitlines()


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(watch, "SOONEST", 0.0)
    return Account()


def test_where_nothing_is_under_way_nothing_is_waited_for_or_said(account: Account) -> None:
    account.aws.add("lab-things-1", template=things_template({"a": "csr"}))
    assert ["a"] == list(account.read().deployed.things)
    assert [] == account.lines
    assert 1 == account.aws.calls.count("describe_stacks")


def test_a_deployment_under_way_is_shown_waited_for_and_read_at_its_end(account: Account) -> None:
    stack = account.aws.add("lab-things-1", "CREATE_IN_PROGRESS", things_template({"a": "csr"}))
    aws = account.aws

    def end() -> None:
        account.iot.groups = {"lab": {"a"}}
        aws._tell(stack, "aCertificate", "AWS::IoT::Certificate", "CREATE_COMPLETE")
        aws._mark(stack, "CREATE_COMPLETE")

    stack.steps += [lambda: None, lambda: None, end]
    assert ["a"] == list(account.read().deployed.things)
    assert [
        "lab-things-1: another deployment is under way (CREATE_IN_PROGRESS); waiting for it to end",
        "lab-things-1: aCertificate CREATE_COMPLETE",
        "lab-things-1: it has ended (CREATE_COMPLETE)",
    ] == account.lines
    assert {"a"} == account.registry.members  # which is of the same moment


def test_a_stack_that_is_being_deleted_is_waited_for_and_gone(account: Account) -> None:
    stack = account.aws.add("lab-things-1", "DELETE_IN_PROGRESS", things_template({"a": "csr"}))
    stack.steps.append(lambda: account.aws._mark(stack, "DELETE_COMPLETE"))
    assert {} == account.read().deployed.stacks
    assert "lab-things-1: it has ended (DELETE_COMPLETE)" == account.lines[-1]


def test_what_only_a_person_can_end_is_not_waited_for(account: Account) -> None:
    account.aws.add("lab-fleet", "UPDATE_ROLLBACK_FAILED").reason = "no permission"
    account.aws.add("lab-things-1", "UPDATE_IN_PROGRESS", things_template({"a": "csr"}))
    with pytest.raises(DeployError, match="the stack lab-fleet is stuck"):
        account.read()

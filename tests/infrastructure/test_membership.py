from __future__ import annotations

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich")

from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.membership import add_members  # noqa: E402
from tests.fakes.fake_account import FakeIot  # noqa: E402


@pytest.fixture
def iot() -> FakeIot:
    iot = FakeIot()
    iot.things, iot.groups = {"a", "b"}, {"lab": {"b"}}
    return iot


def test_things_join_and_those_that_are_members_stay(iot: FakeIot) -> None:
    assert [("a", True), ("b", True)] == list(add_members(iot, "lab", ["a", "b"]))
    assert {"lab": {"a", "b"}} == iot.groups


def test_a_thing_that_does_not_exist_is_told_and_keeps_none_away(iot: FakeIot) -> None:
    assert [("c", False), ("a", True)] == list(add_members(iot, "lab", ["c", "a"]))


def test_a_group_that_was_deleted_meanwhile_is_not_blamed_on_the_things(iot: FakeIot) -> None:
    iot.groups.clear()
    with pytest.raises(DeployError) as raised:
        list(add_members(iot, "lab", ["a"]))
    assert "the thing group lab was deleted meanwhile: run this again" == str(raised.value)

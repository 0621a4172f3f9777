from __future__ import annotations

from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich")

from infrastructure import drift  # noqa: E402
from infrastructure.deployed import Deployed, DeployedStack, DeployedThing  # noqa: E402
from infrastructure.drift import Drift, find_drift, refuse_missing  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.names import Names  # noqa: E402
from infrastructure.registry import read_registry  # noqa: E402
from tests.fakes.fake_account import FakeIot, certificate_arn, make_fleet  # noqa: E402

NAMES = Names("lab")
THING = DeployedThing("a", 1, "csr", "c1")


@pytest.fixture
def iot() -> FakeIot:
    iot = FakeIot()
    iot.things, iot.groups = {"a"}, {"lab": {"a"}}
    iot.certificates, iot.policies = {"c1": "ACTIVE"}, {"lab": {certificate_arn("c1")}}
    return iot


def drift_of(iot: FakeIot, *things: DeployedThing) -> list[Drift]:
    fleet = make_fleet(NAMES, iot=iot)
    return find_drift(fleet, things or (THING,), read_registry(fleet))


def test_what_is_as_deployed_is_no_drift_and_costs_no_look(iot: FakeIot) -> None:
    assert [] == drift_of(iot)
    assert [] == iot.calls


def test_a_certificate_that_was_deleted_is_named_and_repaired_by_rotation(iot: FakeIot) -> None:
    del iot.certificates["c1"]
    (found,) = drift_of(iot)
    assert "a: its certificate was deleted; --rotate makes a new one" == str(found)
    assert found.rotation_repairs


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
def test_a_certificate_that_is_not_active_is_named_with_both_ways_out(iot: FakeIot, status: str) -> None:
    iot.certificates["c1"] = status
    (found,) = drift_of(iot)
    command = "aws iot update-certificate --certificate-id c1 --new-status ACTIVE"
    assert f"a: its certificate is {status}; --rotate makes a new one, or `{command}`" == str(found)
    assert found.rotation_repairs


def test_a_policy_that_was_detached_is_named(iot: FakeIot) -> None:
    iot.policies["lab"].clear()
    (found,) = drift_of(iot)
    assert "a: the policy was detached from its certificate; --rotate makes a new one" == str(found)
    assert found.rotation_repairs


def test_a_thing_that_was_deleted_is_named_and_rotation_does_not_repair_it(iot: FakeIot) -> None:
    iot.things.clear()
    iot.groups["lab"].clear()
    (found,) = drift_of(iot)
    assert "a: the thing itself was deleted; take it out of the list, deploy, and list it again" == str(found)
    assert not found.rotation_repairs


def test_a_thing_outside_the_group_is_no_drift_since_it_joins(iot: FakeIot) -> None:
    iot.groups["lab"].clear()
    assert [] == drift_of(iot)


def test_lists_that_are_behind_are_no_drift(iot: FakeIot) -> None:
    iot.unlisted = {"c1"}
    assert [] == drift_of(iot)
    assert ["describe_certificate", "list_attached_policies"] == iot.calls


def test_a_certificate_that_is_not_told_is_not_called_deleted(iot: FakeIot) -> None:
    (found,) = drift_of(iot, DeployedThing("a", 1, "csr", ""))
    assert "its stack does not tell its certificate" in str(found)


def test_findings_come_in_the_order_of_the_things_one_for_each(iot: FakeIot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "CERTIFICATES", 1000.0)
    things = [DeployedThing(name, 1, "csr", certificate) for name, certificate in [("b", "c1"), ("c", "x"), ("a", "y")]]
    assert ["b", "c", "a"] == [found.thing for found in drift_of(iot, *things)]


@pytest.mark.parametrize(
    ("policies", "groups", "expected"),
    [
        ({}, {"lab": set()}, "the policy lab was deleted by hand, and with it"),
        ({"lab": set()}, {}, "the thing group lab was deleted by hand, and with it"),
        ({}, {}, "the policy lab and the thing group lab were deleted by hand"),
    ],
)
def test_what_all_things_share_is_missed(policies: Any, groups: Any, expected: str) -> None:
    iot = FakeIot()
    iot.policies, iot.groups = policies, groups
    deployed = Deployed({"lab-fleet": DeployedStack("lab-fleet", "CREATE_COMPLETE")})
    fleet = make_fleet(NAMES, deployed, iot=iot)
    with pytest.raises(DeployError) as raised:
        refuse_missing(fleet, read_registry(fleet))
    assert str(raised.value).startswith(expected)


@pytest.mark.parametrize("status", [None, "ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"])
def test_what_was_never_deployed_is_not_missed(status: str | None) -> None:
    deployed = Deployed({"lab-fleet": DeployedStack("lab-fleet", status)} if status else {})
    fleet = make_fleet(NAMES, deployed)
    refuse_missing(fleet, read_registry(fleet))


def test_what_is_there_is_not_missed(iot: FakeIot) -> None:
    deployed = Deployed({"lab-fleet": DeployedStack("lab-fleet", "CREATE_COMPLETE")})
    fleet = make_fleet(NAMES, deployed, iot=iot)
    refuse_missing(fleet, read_registry(fleet))

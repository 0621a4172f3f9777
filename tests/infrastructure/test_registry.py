from __future__ import annotations

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich")

from infrastructure import registry  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.registry import Registry, read_policy_targets, read_registry, refuse_foreign_things  # noqa: E402
from tests.fakes.fake_account import FakeIot, certificate_arn, make_fleet  # noqa: E402

IDS = [f"c{number}" for number in range(5)]  # three pages
GROUP = "arn:aws:iot:eu-west-1:123456789012:thinggroup/doors"


def test_certificates_targets_and_members_are_read_to_the_last_page() -> None:
    iot = FakeIot()
    iot.certificates = dict.fromkeys(IDS, "ACTIVE") | {"c4": "INACTIVE"}
    iot.policies = {"lab": set(map(certificate_arn, IDS)), "other": {certificate_arn("x")}}
    iot.groups = {"lab": {"a", "b", "c"}, "other": {"d"}}
    expected = Registry(
        {"c0": "ACTIVE", "c1": "ACTIVE", "c2": "ACTIVE", "c3": "ACTIVE", "c4": "INACTIVE"},
        frozenset(IDS),
        frozenset("abc"),
    )
    assert expected == read_registry(make_fleet(iot=iot))


def test_before_the_first_deployment_there_is_no_policy_and_no_group() -> None:
    assert Registry({}, frozenset(), frozenset(), ("policy", "thing group")) == read_registry(make_fleet())


def test_a_policy_and_a_group_that_nobody_has_are_not_missing() -> None:
    iot = FakeIot()
    iot.policies, iot.groups = {"lab": set()}, {"lab": set()}
    assert Registry({}, frozenset(), frozenset()) == read_registry(make_fleet(iot=iot))


def test_a_policys_targets_are_whatever_has_it() -> None:
    iot = FakeIot()
    iot.policies = {"lab": {certificate_arn("c1"), GROUP}}
    assert frozenset({certificate_arn("c1"), GROUP}) == read_policy_targets(iot, "lab")


def test_things_that_exist_outside_the_fleet_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "LOOKS", 1000.0)
    iot = FakeIot()
    iot.things = {"b", "d", "e"}
    expected = (
        "b, d: exists in this account already, outside this fleet; take it out of the list, or delete it first "
        "(`aws iot delete-thing --thing-name b`)"
    )
    with pytest.raises(DeployError) as raised:
        refuse_foreign_things(iot, ["a", "b", "c", "d"])
    assert expected == str(raised.value)


def test_things_that_do_not_exist_are_no_obstacle() -> None:
    refuse_foreign_things(FakeIot(), ["a"])

"""Things that provisioned themselves end by calls, with their certificates, and never more than was agreed to."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3", "rich", "aws_cdk")

from botocore.exceptions import ClientError  # noqa: E402

from infrastructure import claimed  # noqa: E402
from infrastructure.claimed import delete_things, detach_rotation_policy, refuse_few  # noqa: E402
from infrastructure.errors import DeployError  # noqa: E402
from infrastructure.fleet import Fleet  # noqa: E402
from tests.fakes.fake_account import certificate_arn, make_account, make_screen  # noqa: E402
from tests.fakes.fake_cloudformation import refuse  # noqa: E402
from tests.infrastructure.claims import NAMES, ClaimIot  # noqa: E402

COGNITO = "eu-west-1:0f3c1b8e-0000-4000-8000-000000000000"


class Iot(ClaimIot):
    """AWS IoT, which refuses as AWS does what would leave something hanging."""

    def __init__(self, **things: list[str]) -> None:
        super().__init__()
        self.things = set(things)
        self.principals = things
        self.certificates = {arn.rpartition("/")[2]: "ACTIVE" for arns in things.values() for arn in arns}

    def detach_thing_principal(self, thingName: str, principal: str) -> dict[str, str]:  # noqa: N803
        self.principals[thingName] = [arn for arn in self.principals[thingName] if arn != principal]
        return {}

    def update_certificate(self, certificateId: str, newStatus: str) -> dict[str, str]:  # noqa: N803
        self._call("update_certificate")
        self._known(certificateId)
        self.certificates[certificateId] = newStatus
        return {}

    def delete_certificate(self, certificateId: str, forceDelete: bool) -> dict[str, str]:  # noqa: N803
        self._known(certificateId)
        if self.certificates[certificateId] == "ACTIVE" or not forceDelete:
            raise refuse("CertificateStateException", certificateId)
        del self.certificates[certificateId]
        return {}

    def delete_thing(self, thingName: str) -> dict[str, str]:  # noqa: N803
        if self.principals.get(thingName):
            raise refuse("InvalidRequestException", f"{thingName} has principals")
        self.things.discard(thingName)
        return {}

    def _known(self, certificate: str) -> None:
        if certificate not in self.certificates:
            raise refuse("ResourceNotFoundException", certificate)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claimed, "DELETIONS", 10_000.0)


def delete(iot: Iot, *things: str) -> list[str]:
    """Delete things; return what is said."""
    screen, printed = make_screen()
    delete_things(Fleet(make_account(iot=iot), NAMES, screen), things)
    return printed.getvalue().splitlines()


@pytest.mark.parametrize(("count", "most"), [(2, 2), (0, 0), (9, None)])
def test_what_was_agreed_to_is_not_refused(count: int, most: int | None) -> None:
    refuse_few(["dev"] * count, most)


@pytest.mark.parametrize(("count", "most"), [(2, 1), (1, 0)])
def test_no_more_are_deleted_than_agreed_to(count: int, most: int) -> None:
    with pytest.raises(DeployError) as raised:
        refuse_few(["dev"] * count, most)
    assert (
        f"{count} things provisioned themselves, which is more than --delete-at-most {most}: give --delete-at-most "
        f"{count} to delete them with the fleet, or leave it out to leave them"
    ) == str(raised.value)


def test_a_thing_goes_with_all_its_certificates_and_others_stay() -> None:
    iot = Iot(a=[certificate_arn("a1"), certificate_arn("a2")], b=[certificate_arn("b1")], c=[certificate_arn("c1")])
    assert ["things: a deleted (1 of 2)", "things: b deleted (2 of 2)"] == delete(iot, "a", "b")
    assert ({"c"}, {"c1": "ACTIVE"}) == (iot.things, iot.certificates)


def test_a_thing_without_a_certificate_and_one_that_is_gone_already_are_no_error() -> None:
    iot = Iot(a=[])
    assert 2 == len(delete(iot, "a", "gone"))
    assert set() == iot.things


def test_a_certificate_that_is_gone_already_is_no_error() -> None:
    iot = Iot(a=[certificate_arn("a1")])
    iot.certificates.clear()
    delete(iot, "a")
    assert set() == iot.things


def test_an_identity_that_is_no_certificate_is_detached_only() -> None:
    iot = Iot(a=[COGNITO])
    iot.certificates.clear()
    delete(iot, "a")
    assert (set(), []) == (iot.things, iot.calls)


def test_nothing_is_said_of_nothing() -> None:
    assert [] == delete(Iot())


def test_a_right_that_is_missing_ends_it() -> None:
    iot = Iot(a=[certificate_arn("a1")])
    iot.errors["update_certificate"] = refuse("AccessDeniedException", "iot:UpdateCertificate")
    with pytest.raises(ClientError, match="iot:UpdateCertificate"):
        delete(iot, "a")
    assert {"a"} == iot.things


@pytest.mark.parametrize("policies", [{}, {"lab-rotate": set()}, {"lab-rotate": {"c1", "c2", "c3"}}])
def test_the_policy_for_rotations_is_taken_off_all_that_have_it(policies: dict[str, set[str]]) -> None:
    iot: Any = Iot()
    iot.policies = {**policies, "lab": {"c1"}}
    detach_rotation_policy(Fleet(make_account(iot=iot), NAMES, make_screen()[0]))
    assert {**({"lab-rotate": set()} if policies else {}), "lab": {"c1"}} == iot.policies

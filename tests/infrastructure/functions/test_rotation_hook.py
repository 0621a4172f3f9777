"""Who may have another certificate for a thing: who is connected as that thing, with a certificate of its own."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without
from tests.infrastructure.functions.cloud import USER, Cloud, load

skip_without("boto3")


def ask(thing: Any, client: Any, certificate: Any) -> dict[str, bool]:
    event = {"parameters": {"ThingName": thing}, "clientId": client, "claimCertificateId": certificate}
    answer: dict[str, bool] = load("rotation_hook").handler(event, None)
    return answer


@pytest.mark.parametrize(
    ("thing", "client", "certificate", "allowed"),
    [
        ("dev-1", "dev-1", "old", True),
        ("dev-1", "dev-1", "new", True),  # on whatever page it is listed
        ("dev-1", "dev-1", "other", False),  # under the thing's client ID, with the certificate of another one
        ("dev-1", "dev-2", "old", False),  # with the thing's certificate, under another client ID
        ("dev-2", "dev-1", "old", False),
        ("nobody", "nobody", "old", False),
        (None, None, "old", False),
        ("dev-1", "dev-1", None, False),
        ("", "", "", False),
    ],
)
@pytest.mark.usefixtures("cloud")
def test_a_certificate_is_given_to_the_thing_of_the_connection_only(
    thing: str | None, client: str | None, certificate: str | None, allowed: bool
) -> None:
    assert {"allowProvisioning": allowed} == ask(thing, client, certificate)


@pytest.mark.parametrize("event", [{}, {"parameters": {}}, {"clientId": "dev-1", "claimCertificateId": "old"}])
@pytest.mark.usefixtures("cloud")
def test_who_says_nothing_of_a_thing_is_refused(event: dict[str, Any]) -> None:
    assert {"allowProvisioning": False} == load("rotation_hook").handler(event, None)


@pytest.mark.parametrize("certificate", ["", USER])
def test_an_identity_that_is_no_certificate_lets_nobody_in(cloud: Cloud, certificate: str) -> None:
    cloud.users = [USER]
    assert {"allowProvisioning": False} == ask("dev-1", "dev-1", certificate)


@pytest.mark.usefixtures("cloud")
def test_a_refusal_is_noted_on_one_line_and_a_permission_is_not(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ask("dev-1", "dev-1", "old")
        ask("dev-1", "dev-2\n\x1b[2J", "old")
    assert [r"refused 'old' as 'dev-2\n\x1b[2J' for 'dev-1'"] == caplog.messages

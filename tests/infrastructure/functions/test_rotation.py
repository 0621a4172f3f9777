"""Who may have another certificate for a thing, and whose word ends the ones from before: the rotation's functions."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from infrastructure.functions import __name__ as functions
from tests.infrastructure.deployer import skip_without

skip_without("boto3")

GROUP = "fleet"


class NotFound(Exception):
    """AWS IoT's answer that there is no such thing."""


class Cloud:
    """AWS IoT, as far as the functions know it: the certificates of things, and which are in the fleet's group."""

    class exceptions:  # noqa: N801 - botocore's name
        ResourceNotFoundException = NotFound

    def __init__(self) -> None:
        self.things = {"dev-1": ["old", "new"], "dev-2": ["other"], "bundled": ["first", "second"]}
        self.inactive: list[str] = []

    def get_paginator(self, operation: str) -> Cloud:
        assert "list_thing_principals" == operation
        return self

    def paginate(self, thingName: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        if thingName not in self.things:
            raise NotFound
        yield {"principals": [f"arn:aws:iot:eu-west-1:1:cert/{each}" for each in self.things[thingName]]}

    def list_thing_groups_for_thing(self, thingName: str) -> dict[str, Any]:  # noqa: N803
        return {"thingGroups": [{"groupName": "another" if thingName == "bundled" else GROUP}]}

    def update_certificate(self, certificateId: str, newStatus: str) -> None:  # noqa: N803
        assert "INACTIVE" == newStatus
        self.inactive.append(certificateId)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    import boto3

    cloud = Cloud()
    monkeypatch.setenv("GROUP", GROUP)
    monkeypatch.setattr(boto3, "client", lambda name: cloud)
    return cloud


def load(name: str) -> ModuleType:
    """Import a function as AWS Lambda does, for the cloud of this test."""
    sys.modules.pop(f"{functions}.{name}", None)
    return importlib.import_module(f"{functions}.{name}")


@pytest.mark.parametrize(
    ("thing", "client", "certificate", "allowed"),
    [
        ("dev-1", "dev-1", "old", True),
        ("dev-1", "dev-1", "other", False),  # under the thing's client ID, with the certificate of another one
        ("dev-1", "dev-2", "old", False),  # with the thing's certificate, under another client ID
        ("dev-2", "dev-1", "old", False),
        ("nobody", "nobody", "old", False),
        (None, None, "old", False),
        ("dev-1", "dev-1", None, False),
    ],
)
@pytest.mark.usefixtures("cloud")
def test_a_certificate_is_given_to_the_thing_of_the_connection_only(
    thing: str | None, client: str | None, certificate: str | None, allowed: bool
) -> None:
    event = {"parameters": {"ThingName": thing}, "clientId": client, "claimCertificateId": certificate}
    assert {"allowProvisioning": allowed} == load("rotation_hook").handler(event, None)


@pytest.mark.parametrize(
    ("thing", "principal", "said", "ended"),
    [
        ("dev-1", "new", "new", ["old"]),
        ("dev-1", "old", "new", []),  # said over the old connection: nobody knows yet that the new one is let in
        ("dev-1", "new", "old", []),
        ("dev-1", "new", None, []),
        ("dev-1", "other", "other", []),  # another thing's certificate
        ("bundled", "second", "second", []),  # no thing of the fleet
    ],
)
def test_only_who_connects_with_the_new_certificate_ends_the_others(
    cloud: Cloud, thing: str, principal: str, said: str | None, ended: list[str]
) -> None:
    load("rotation_commit").handler({"thing": thing, "principal": principal, "certificateId": said}, None)
    assert ended == cloud.inactive

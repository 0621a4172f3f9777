"""AWS IoT, as far as the rotation's functions know it, and how AWS Lambda imports them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

GROUP = "fleet"
USER = "eu-west-1:0f3c1b8e-0000-4000-8000-000000000000"  # an identity of Amazon Cognito's, which is a principal too


class NotFound(Exception):
    """AWS IoT's answer that there is no such thing."""


class Cloud:
    """The certificates of things, one on a page, and which things are in the fleet's group."""

    class exceptions:  # noqa: N801 - botocore's name
        ResourceNotFoundException = NotFound

    def __init__(self) -> None:
        self.things = {"dev-1": ["old", "new"], "dev-2": ["other"], "bundled": ["first", "second"]}
        self.users: list[str] = []  # that every thing has besides its certificates
        self.inactive: list[str] = []

    def get_paginator(self, operation: str) -> Cloud:
        assert "list_thing_principals" == operation
        return self

    def paginate(self, thingName: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        if thingName not in self.things:
            raise NotFound
        arns = [f"arn:aws:iot:eu-west-1:1:cert/{each}" for each in self.things[thingName]]
        yield from ({"principals": [each]} for each in [*self.users, *arns])

    def list_thing_groups_for_thing(self, thingName: str) -> dict[str, Any]:  # noqa: N803
        return {"thingGroups": [{"groupName": "another" if thingName == "bundled" else GROUP}]}

    def update_certificate(self, certificateId: str, newStatus: str) -> None:  # noqa: N803
        assert "INACTIVE" == newStatus
        self.inactive.append(certificateId)


def load(name: str) -> ModuleType:
    """Import a function as AWS Lambda does, for the cloud of this test."""
    sys.modules.pop(f"infrastructure.functions.{name}", None)
    return importlib.import_module(f"infrastructure.functions.{name}")

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.infrastructure.deployer import skip_without

skip_without("boto3")

from infrastructure import functions  # noqa: E402

LONG = "c" * 128
UNLESS_QUICKER = (
    "attribute_exists(serial) AND (attribute_not_exists(#certificate) OR #certificate = :before)"  # DynamoDB's language
)
LONGEST_INLINE = 4096  # bytes of a function's code in a template


class NotFound(Exception):
    """AWS IoT's answer that there is no such thing."""


class Denied(Exception):
    """DynamoDB's answer that a condition does not hold."""


class Cloud:
    """DynamoDB and AWS IoT, as far as the hook knows them; `meanwhile` is done just before an item is changed."""

    class exceptions:  # noqa: N801 - botocore's name
        ResourceNotFoundException = NotFound
        ConditionalCheckFailedException = Denied

    def __init__(self, **items: dict[str, Any]) -> None:
        self.items = {key: {"serial": key, **item} for key, item in items.items()}
        self.things: dict[str, list[str]] = {}
        self.inactive: list[str] = []
        self.meanwhile = lambda: None
        self.meta = self
        self.client = self

    def resource(self, name: str) -> Cloud:
        return self

    Table = resource

    def get_item(self, Key: dict[str, str], **_: Any) -> dict[str, Any]:  # noqa: N803
        return {"Item": dict(self.items[Key["serial"]])} if Key["serial"] in self.items else {}

    def put_item(self, Item: dict[str, Any]) -> None:  # noqa: N803
        self.items[Item["serial"]] = Item

    def update_item(self, **given: Any) -> None:
        self.meanwhile()
        assert UNLESS_QUICKER == given["ConditionExpression"], "what is denied below"
        values = {key[1:]: value for key, value in given["ExpressionAttributeValues"].items()}
        before, item = values.pop("before"), self.items.get(given["Key"]["serial"])
        if item is None or item.get("certificate", before) != before:
            raise Denied
        item.update(values)

    def describe_thing(self, thingName: str) -> dict[str, str]:  # noqa: N803
        if thingName not in self.things:
            raise NotFound
        return {"thingName": thingName}

    def get_paginator(self, operation: str) -> Cloud:
        assert "list_thing_principals" == operation
        return self

    def paginate(self, thingName: str) -> list[dict[str, Any]]:  # noqa: N803
        return [{"principals": [f"arn:aws:iot:eu-west-1:1:cert/{each}"]} for each in self.things[thingName]]

    def update_certificate(self, certificateId: str, newStatus: str) -> None:  # noqa: N803
        assert "INACTIVE" == newStatus
        self.inactive.append(certificateId)


class Hook:
    """The function with a cloud of its own, and a clock."""

    def __init__(self, cloud: Cloud, module: ModuleType) -> None:
        self.cloud, self.module = cloud, module
        self.now = 1_000_000.0

    def ask(self, serial: str, thing: str, certificate: str = "new") -> bool:
        parameters = {"SerialNumber": serial, "ThingName": thing}
        answer = self.module.handler({"parameters": parameters, "certificateId": certificate}, None)
        assert {"allowProvisioning"} == set(answer)
        return bool(answer["allowProvisioning"])

    @property
    def why(self) -> str:
        return str(self.cloud.items[" refused"]["last"][0]["why"])


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Hook:
    import boto3

    cloud = Cloud(a1={"name": "A1"}, b2={"thing": "Roof"}, **{LONG: {}})
    monkeypatch.setenv("TABLE", "serials")
    monkeypatch.setenv("PREFIXES", "osx pi")
    monkeypatch.setattr(boto3, "client", lambda name: cloud)
    monkeypatch.setattr(boto3, "resource", cloud.resource)
    sys.modules.pop("infrastructure.functions.claim_hook", None)
    made = Hook(cloud, importlib.import_module("infrastructure.functions.claim_hook"))
    monkeypatch.setattr(made.module.time, "time", lambda: made.now)
    return made


@pytest.mark.parametrize(
    ("serial", "thing"), [("A1", "a1"), ("A1", "A1"), ("a1", "pi-a1"), ("a1", "osx-a1"), ("B2", "Roof"), (LONG, LONG)]
)
def test_a_listed_serial_is_taken_by_its_certificate(hook: Hook, serial: str, thing: str) -> None:
    assert hook.ask(serial, thing)
    item = hook.cloud.items[serial.lower()]
    assert (thing, "new", 1_000_000) == (item["took"], item["certificate"], item["at"])


@pytest.mark.parametrize(
    ("serial", "thing", "why"),
    [
        ("c3", "c3", "the serial is not listed"),
        ("", "a1", "the serial is not listed"),
        (LONG + "b", LONG, "the serial is not listed"),
        ("a1", "sys-a1", "the thing's name must be a1 or osx-a1 or pi-a1"),
        ("a1", "", "the thing's name must be a1 or osx-a1 or pi-a1"),
        ("b2", "roof", "the thing's name must be Roof"),
        ("b2", "b2", "the thing's name must be Roof"),
    ],
)
def test_whoever_is_not_listed_under_that_name_is_refused(hook: Hook, serial: str, thing: str, why: str) -> None:
    assert not hook.ask(serial, thing)
    assert why == hook.why


def test_an_answer_that_got_lost_is_given_again(hook: Hook) -> None:
    assert hook.ask("a1", "a1")
    hook.cloud.things["a1"] = ["new", "since"]
    assert hook.ask("a1", "a1")
    assert [] == hook.cloud.inactive


def test_a_serial_has_one_thing_whatever_it_is_called(hook: Hook) -> None:
    hook.cloud.things["pi-a1"] = []
    assert not hook.ask("a1", "pi-a1")
    assert hook.ask("a1", "a1", "first")
    hook.cloud.things["a1"] = ["first"]
    del hook.cloud.things["pi-a1"]
    hook.now += 3600
    assert not hook.ask("a1", "pi-a1", "second")
    assert "it has a thing already; list it again to let it register once more" == hook.why


def test_a_copy_of_the_device_is_refused_and_the_device_itself_later_is_not(hook: Hook) -> None:
    assert hook.ask("a1", "a1", "first")
    assert not hook.ask("a1", "a1", "second")
    assert "another device registered with this serial a moment ago" == hook.why
    hook.now += 60  # and the first one never became a thing
    assert hook.ask("a1", "a1", "second")


def test_of_two_at_the_same_moment_one_is_refused(hook: Hook) -> None:
    hook.cloud.meanwhile = lambda: hook.cloud.items["a1"].setdefault("certificate", "quicker")
    assert not hook.ask("a1", "a1")
    assert "another device registered with this serial at this moment" == hook.why


def test_listed_again_it_registers_once_more_and_what_it_had_ends(hook: Hook) -> None:
    hook.cloud.items["a1"] |= {"again": "again", "took": "a1", "certificate": "old", "at": 1}
    hook.cloud.things["a1"] = ["old", "older"]
    assert hook.ask("a1", "pi-a1")
    assert ["old", "older"] == hook.cloud.inactive
    hook.cloud.things["pi-a1"] = ["new"]
    hook.now += 3600
    assert not hook.ask("a1", "pi-a1", "copy")
    hook.cloud.items["a1"]["again"] = "again 2026-12-01"
    assert hook.ask("a1", "pi-a1", "another")


def test_the_last_refusals_are_kept_and_all_are_counted(hook: Hook) -> None:
    for number in range(12):
        assert not hook.ask(f"c{number}" + "x" * 200, "c")
    noted = hook.cloud.items[" refused"]
    assert (12, 10, "c11" + "x" * 125) == (noted["count"], len(noted["last"]), noted["last"][0]["serial"])
    assert not hook.ask(" refused", " refused")


def test_the_functions_fit_into_a_template() -> None:
    sizes = {path.name: path.stat().st_size for path in Path(functions.__file__).parent.glob("*.py")}
    assert sizes
    assert {} == {name: size for name, size in sizes.items() if size > LONGEST_INLINE}

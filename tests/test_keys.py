"""What a key does is the string below it, and every key of a configuration has one."""

from __future__ import annotations

import msgspec
import pytest

from defender_daemon.config import Config
from defender_detect.alerts.targets import TARGETS
from defender_detect.config import Config as DetectConfig
from defender_publisher.greengrass.parameters import Component
from device_defender.kinds import inspected
from reference.keys import described, structs_in, with_descriptions


class Inner(msgspec.Struct):
    """This is what the whole is."""

    plain: int = 0
    """What a number
    is for."""
    bare: int = 0

    @property
    def twice(self) -> int:
        """Nor is this a key."""
        return 2 * self.plain


class Outer(Inner):
    own: list[Inner] = msgspec.field(name="$own", default_factory=list)
    """Of its own."""


def test_a_key_is_described_by_the_string_below_it_also_where_it_is_inherited() -> None:
    assert {"plain": "What a number is for."} == described(Inner)
    assert {"plain": "What a number is for.", "own": "Of its own."} == described(Outer)


def test_a_schema_has_the_descriptions_first() -> None:
    properties = with_descriptions(msgspec.json.schema(Outer), Outer)["$defs"]["Outer"]["properties"]
    assert {"description": "What a number is for.", "type": "integer", "default": 0} == properties["plain"]
    assert ["description", "type", "items", "default"] == list(properties["$own"])
    assert "description" not in properties["bare"]


@pytest.mark.parametrize("definition", [Config, DetectConfig, Component, *TARGETS], ids=lambda each: each.__name__)
def test_every_key_of_a_configuration_is_described(definition: type[msgspec.Struct]) -> None:
    for struct in structs_in(inspected(definition)):
        assert {each.name for each in struct.fields} == set(described(struct.cls)), struct.cls.__name__

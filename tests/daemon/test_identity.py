"""The thing name is the one given, or prefix and serial number in lower case, and never an empty one."""

from __future__ import annotations

import pytest

from defender_daemon.config import Agent, Instance
from defender_daemon.identity import thing_name_of
from defender_publisher.errors import ConfigError


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (Agent(thing_name="Kitchen-Pi"), "Kitchen-Pi"),
        (Agent(thing_name="given", instance=Instance(serial="1")), "given"),
        (Agent(instance=Instance(serial="C02V41P2HV2F")), "sys-c02v41p2hv2f"),
        (Agent(instance=Instance(prefix="OSX", serial="1")), "osx-1"),
        (Agent(instance=Instance(prefix="rpi", command="echo ' 00AB '")), "rpi-00ab"),
        (Agent(instance=Instance(command="printf 'x y' | cut -d' ' -f2")), "sys-y"),
        (Agent(instance=Instance(serial="s", command="exit 1")), "sys-s"),
        (Agent(instance=Instance(command="printf '10000000A1B2C3D4\\0'")), "sys-10000000a1b2c3d4"),  # a device tree's
    ],
)
def test_the_name_is_made_as_the_cloudwatch_publisher_makes_it(agent: Agent, expected: str) -> None:
    assert expected == thing_name_of(agent)


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        (Instance(command="exit 3"), "agent.instance.command 'exit 3' must print a serial number, but it failed"),
        (Instance(command="echo no >&2; exit 1"), "failed with exit status 1: no"),
        (Instance(command="true"), "printed nothing"),
        (Instance(command="echo a; echo b"), "makes the thing name 'sys-a\\nb'; it must be 1 to 128"),
        (Instance(serial="a b"), "makes the thing name 'sys-a b'"),
        (Instance(serial="x" * 128), "it must be 1 to 128"),
        (Instance(command="printf '\\377\\376'"), "makes the thing name 'sys-\ufffd\ufffd'; it must be 1 to 128"),
        (Instance(command="printf 'caf\\351' >&2; exit 1"), "failed with exit status 1: caf\ufffd"),
        (Instance(), "agent.thing_name is missing"),
    ],
)
def test_a_name_that_cannot_be_is_an_error(instance: Instance, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        thing_name_of(Agent(instance=instance))
    assert expected in str(caught.value)


def test_a_nameless_device_is_good_enough_for_a_dry_run() -> None:
    assert "sys-000000000000" == thing_name_of(Agent(), unknown_allowed=True)

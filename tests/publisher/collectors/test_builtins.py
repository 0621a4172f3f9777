"""The built-in metrics, on this machine and on machines in a temporary directory."""

from __future__ import annotations

import re
import time
from ipaddress import ip_address

import pytest

from defender_publisher.metrics import Where, find
from device_defender.metrics import BUILT_INS, TYPES

ALWAYS = [  # what every machine can measure
    "cpu_usage",
    "memory_usage",
    "disk_usage",
    "load_average",
    "process_count",
    "process_names",
    "uptime",
    "interface_addresses",
]
NOWHERE_ELSE = Where()


def busy_wait(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def start(name, where=NOWHERE_ELSE):
    metric = find(name)
    assert metric is not None
    return metric.start(where)


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_built_ins_row_names_a_collector_that_there_is(name):
    assert callable(start(name))


@pytest.mark.parametrize("name", BUILT_INS)
def test_a_built_in_has_a_type_of_the_api_and_a_line_for_the_readme(name):
    assert BUILT_INS[name].type in TYPES
    assert re.fullmatch(r"[A-Z][^\n|]{10,100}\.", BUILT_INS[name].description)


@pytest.mark.parametrize("name", ALWAYS)
def test_a_built_in_measures_a_value_of_its_type_on_this_machine(name):
    measure = start(name)
    busy_wait(0.1)
    value = measure()
    if BUILT_INS[name].type == "number":
        assert value >= 0
        assert type(value) in (int, float)
    else:
        assert isinstance(value, list)
        assert {float if BUILT_INS[name].type == "number-list" else str} >= set(map(type, value))


def test_interface_addresses_of_this_machine_are_addresses():
    addresses = start("interface_addresses")()
    assert [] == [address for address in addresses if ip_address(address).is_loopback or "%" in address]

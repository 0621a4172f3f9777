"""Addresses that were seen become the few networks that an operator would have written."""

from __future__ import annotations

import ipaddress
import random

import pytest

from defender_detect.ask.networks import MOST, join_addresses
from defender_detect.evaluate.address_sets import AddressSet

LAN = {"192.168.1.10": 50, "192.168.1.77": 3}
MAIL = {"198.51.100.7": 9}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({}, []),
        ({"no address": 5}, []),
        (MAIL, ["198.51.100.7/32"]),
        (LAN, ["192.168.1.0/24"]),
        ({"192.168.1.10": 1}, ["192.168.1.0/24"]),  # the next lease is another address
        ({"198.51.100.7": 5, "198.51.100.200": 5}, ["198.51.100.0/24"]),
        ({f"52.94.{number}.7": 5 for number in (1, 60, 133, 240)}, ["52.94.0.0/16"]),
        ({f"52.94.{number}.7": 5 for number in (1, 60, 133)}, ["52.94.1.7/32", "52.94.60.7/32", "52.94.133.7/32"]),
        ({"2001:db8::1": 5}, ["2001:db8::/64"]),
        ({"2001:db8:0:1::1": 5, "2001:db8:0:2::1": 5}, ["2001:db8::/48"]),
        ({"fe80::1%eth0": 5, "fe80::2%wlan0": 5}, ["fe80::/64"]),
        ({"::ffff:198.51.100.7": 5}, ["198.51.100.7/32"]),
        ({"10.0.0.1": 5, "10.0.1.1": 5}, ["10.0.0.0/23"]),  # neighbors are written as one
    ],
)
def test_addresses_become_networks(seen: dict[str, int], expected: list[str]) -> None:
    assert expected == join_addresses(seen)


def test_what_was_seen_least_is_left_out() -> None:
    assert ["192.168.1.0/24"] == join_addresses({"192.168.1.10": 990, "203.0.113.9": 10})
    assert ["192.168.1.0/24", "203.0.113.9/32"] == join_addresses({"192.168.1.10": 980, "203.0.113.9": 20})


@pytest.mark.parametrize("number", [300, 3_000])
def test_many_servers_are_few_networks_that_hold_nearly_all(number: int) -> None:
    chosen = random.Random(number)
    seen = {f"{chosen.choice((13, 18, 34, 52))}.{chosen.randrange(256)}.{chosen.randrange(256)}.7": 1
            for _ in range(number)}  # fmt: skip
    networks = join_addresses(seen)
    assert 0 < len(networks) <= MOST
    assert all(ipaddress.ip_network(each).prefixlen >= 8 for each in networks)
    known = AddressSet(networks)
    assert sum(address in known for address in seen) >= 0.99 * len(seen)


def test_the_whole_internet_is_no_list_of_networks() -> None:
    chosen = random.Random(1)
    everywhere = {f"{chosen.randrange(1, 224)}.{chosen.randrange(256)}.9.9": 1 for _ in range(5_000)}
    assert [] == join_addresses(everywhere, most=50)

"""Whether an address is in one of a behavior's networks."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from defender_detect.evaluate.address_sets import AddressSet
from tests.examples import examples

ADDRESSES = st.ip_addresses() | st.integers(0, 300).map(lambda low: ipaddress.ip_address("10.0.0.0") + low)


NETWORKS = st.tuples(ADDRESSES, st.integers(0, 32)).map(
    lambda pair: str(ipaddress.ip_network(f"{pair[0]}/{pair[0].max_prefixlen - pair[1]}", strict=False))
)


def as_ipv4(cidr: str) -> Any:
    """Return a network; one of addresses that are IPv4's written as IPv6 is one of IPv4."""
    network = ipaddress.ip_network(cidr)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}") if mapped and network.prefixlen >= 96 else network


@given(st.lists(NETWORKS, max_size=6), ADDRESSES)
@examples(100)
@example(["::ffff:0:0/128"], ipaddress.ip_address("0.0.0.0"))
@example(["::ffff:10.0.0.0/104", "10.0.0.0/16"], ipaddress.ip_address("10.255.0.0"))
@example(["::/0", "0.0.0.0/32"], ipaddress.ip_address("0.0.0.1"))
@example(["::fffe:0:0/95"], ipaddress.ip_address("255.255.255.255"))
@example(["::/0"], ipaddress.ip_address("::1:0:0:0"))
def test_an_address_is_in_a_set_if_it_is_in_one_of_the_networks(cidrs: list[str], address: Any) -> None:
    address = getattr(address, "ipv4_mapped", None) or address
    expected = any(address in as_ipv4(cidr) for cidr in cidrs)
    assert expected is (str(address) in AddressSet(cidrs))
    if address.version == 4:
        assert expected is (f"::ffff:{address}" in AddressSet(cidrs))


@pytest.mark.parametrize("address", ["", "sshd", "10.0.0", "10.0.0.256", "1::2::3", "10.0.0.1/8", "\0"])
def test_what_is_no_address_is_in_no_set(address: str) -> None:
    with pytest.raises(ValueError, match="is no IP address|null"):
        address in AddressSet(["0.0.0.0/0", "::/0"])  # noqa: B015

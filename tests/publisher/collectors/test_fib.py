"""Interface addresses from /proc/net: recorded tables, with an address added that has no network."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from defender_publisher.collectors import fib
from defender_publisher.errors import CollectError

# Without policy routing the kernel prints the same trie twice, as Main and as Local.
TABLE = """\
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.0
              /8 host LOCAL
           |-- 127.0.0.1
              /32 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     +-- 192.0.2.0/24 2 0 2
        +-- 192.0.2.0/30 2 0 2
           |-- 192.0.2.0
              /24 link UNICAST
           |-- 192.0.2.2
              /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
     |-- 198.51.100.1
        /32 host LOCAL
"""
TRIE = f"Main:\n{TABLE}Local:\n{TABLE}"
ROUTE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
IF_INET6 = """\
fe8000000000000000fc00fffe000001 04 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
20010db8000000000000000000000002 04 40 00 82     eth0
"""


def test_only_this_machines_own_addresses_are_taken_from_the_trie():
    assert ["127.0.0.1", "192.0.2.2", "198.51.100.1"] == fib.local_addresses(TRIE)


@pytest.mark.parametrize(("byteorder", "word"), [("little", "000200C0"), ("big", "C0000200")])
def test_a_route_without_a_gateway_says_which_network_an_interface_is_on(byteorder, word):
    mask = "00FFFFFF" if byteorder == "little" else "FFFFFF00"
    table = ROUTE.replace("000200C0", word).replace("00FFFFFF", mask)
    assert [(IPv4Network("192.0.2.0/24"), "eth0")] == fib.parse_routes(table, byteorder)


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([("192.0.2.0/24", "eth0")], "eth0"),
        ([("192.0.0.0/16", "eth1"), ("192.0.2.0/24", "eth0")], "eth0"),
        ([("192.0.2.0/24", "eth0"), ("192.0.2.0/24", "wlan0")], ""),
        ([("198.51.100.0/24", "eth0")], ""),
        ([], ""),
    ],
)
def test_an_address_is_on_the_interface_of_the_narrowest_route_if_there_is_one(routes, expected):
    known = [(IPv4Network(network), name) for network, name in routes]
    assert ("192.0.2.2", expected) in fib.ipv4_addresses(TRIE, known)
    assert ("127.0.0.1", "lo") in fib.ipv4_addresses(TRIE, known)


def test_ipv6_addresses_come_with_their_interface():
    expected = [("fe80::fc:ff:fe00:1", "eth0"), ("::1", "lo"), ("2001:db8::2", "eth0")]
    assert expected == fib.parse_if_inet6(IF_INET6)


@pytest.fixture
def host(tmp_path):
    net = tmp_path / "1" / "net"
    net.mkdir(parents=True)
    for name, text in [("fib_trie", TRIE), ("route", ROUTE), ("if_inet6", IF_INET6)]:
        (net / name).write_text(text)
    return tmp_path


def test_a_hosts_addresses_are_those_of_its_process_1(host):
    addresses = dict(fib.read_addresses(str(host)))
    assert {"lo", "eth0", ""} == set(addresses.values())
    assert "eth0" == addresses["192.0.2.2"] == addresses["2001:db8::2"]


def test_a_host_without_ipv6_has_only_ipv4_addresses(host):
    (host / "1" / "net" / "if_inet6").unlink()
    assert ["127.0.0.1", "192.0.2.2", "198.51.100.1"] == [address for address, _ in fib.read_addresses(str(host))]


def test_an_ipv6_table_without_addresses_is_not_an_error(host):
    (host / "1" / "net" / "if_inet6").write_text("")
    assert 3 == len(fib.read_addresses(str(host)))


@pytest.mark.parametrize("missing", ["fib_trie", "route"])
def test_a_missing_table_is_an_error_that_names_it(host, missing):
    (host / "1" / "net" / missing).unlink()
    with pytest.raises(CollectError, match=missing):
        fib.read_addresses(str(host))

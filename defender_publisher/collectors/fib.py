"""Interface addresses from /proc/net: of a host, seen from a container, and where netlink is refused.

IPv6 addresses are in `if_inet6` with their interface. IPv4 ones are in `fib_trie` without one; it is the interface that
the `route` to the address's network leads to.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from defender_publisher.collectors import procfs

LEAF = re.compile(r"\|-- (\S+)$")
LOCAL = "/32 host LOCAL"
LOOPBACK = IPv4Network("127.0.0.0/8")  # its route is in a table that /proc does not show
UP, GATEWAY = 0x1, 0x2  # linux/route.h
NAME, DESTINATION, FLAGS, MASK = 0, 1, 3, 7  # columns of a route

Route = tuple[IPv4Network, str]


def read_addresses(procfs_path: str) -> list[tuple[str, str]]:
    """Return every address with its interface's name, "" where that cannot be known; raises CollectError.

    A missing IPv6 table is none: that is how Linux looks with IPv6 switched off.
    """
    net = procfs.net_directory(procfs_path)
    trie, routes = (procfs.read_text(os.path.join(net, name)) for name in ("fib_trie", "route"))
    ipv6 = os.path.join(net, "if_inet6")
    addresses = ipv4_addresses(trie, parse_routes(routes))
    if not os.path.exists(ipv6):
        return addresses
    return addresses + parse_if_inet6(procfs.read_file(ipv6).decode(errors="replace"))


def ipv4_addresses(trie: str, routes: list[Route]) -> list[tuple[str, str]]:
    """Return this machine's IPv4 addresses, and the interface of the narrowest route to each."""
    narrowest_first = sorted(routes, key=lambda route: -route[0].prefixlen)
    return [(address, _interface(IPv4Address(address), narrowest_first)) for address in local_addresses(trie)]


def local_addresses(trie: str) -> list[str]:
    """Return the addresses that a fib_trie has as this machine's, each once: the tables Main and Local can be one."""
    found: dict[str, None] = {}
    leaf = ""
    for line in trie.splitlines():
        match = LEAF.search(line)
        if match:
            leaf = match.group(1)
        elif line.strip() == LOCAL:
            found[leaf] = None
    return list(found)


def parse_routes(table: str, byteorder: str = sys.byteorder) -> list[Route]:
    """Return the networks that are directly on an interface, in a /proc/net/route."""
    return list(_routes(table, "<I" if byteorder == "little" else ">I"))


def _routes(table: str, word: str) -> Iterator[Route]:
    for line in table.split("\n")[1:]:
        columns = line.split("\t")  # and not at blanks: a name can have any of Unicode's
        if len(columns) > MASK and int(columns[FLAGS], 16) & (UP | GATEWAY) == UP:
            words = (int(columns[each], 16) for each in (DESTINATION, MASK))
            address, netmask = (socket.inet_ntoa(struct.pack(word, each)) for each in words)
            yield IPv4Network(f"{address}/{netmask}"), columns[NAME]


def _interface(address: IPv4Address, narrowest_first: list[Route]) -> str:
    if address in LOOPBACK:
        return "lo"
    ours = [(network.prefixlen, name) for network, name in narrowest_first if address in network]
    names = {name for length, name in ours if length == ours[0][0]}
    return names.pop() if len(names) == 1 else ""  # two interfaces on one network: either could have it


def parse_if_inet6(table: str) -> list[tuple[str, str]]:
    """Return the addresses in an if_inet6 and their interfaces."""
    fields = (line.split(None, 5) for line in table.split("\n"))
    return [(str(IPv6Address(bytes.fromhex(each[0]))), each[5].strip()) for each in fields if len(each) == 6]

"""Addresses by netlink, and the news of changes: recorded messages, broken ones, and a namespace of its own."""

from __future__ import annotations

import errno
import socket
import struct
import sys

import pytest

from defender_publisher.collectors import netlink, rtnetlink
from defender_publisher.snapshot import Counters
from tests import namespaces
from tests.namespaces import Namespace, ip

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="netlink is Linux's")
in_namespace = pytest.mark.skipif(namespaces.refusal() is not None, reason=str(namespaces.refusal()))


def attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def address_message(family, index, *attributes):
    body = struct.pack("=BBBBI", family, 24, 0, 0, index) + b"".join(attributes)
    return memoryview(netlink.HEADER.pack(16 + len(body), rtnetlink.RTM_NEWADDR, 2, 1, 0) + body)


V4, V6 = socket.AF_INET, socket.AF_INET6
PEER, OWN = socket.inet_aton("192.0.2.9"), socket.inet_aton("192.0.2.1")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (address_message(V4, 2, attribute(1, OWN), attribute(2, OWN), attribute(3, b"eth0:1\0")), ("192.0.2.1", 2)),
        (address_message(V4, 7, attribute(1, PEER), attribute(2, OWN)), ("192.0.2.1", 7)),
        (address_message(V6, 3, attribute(1, socket.inet_pton(V6, "fe80::1"))), ("fe80::1", 3)),
        (address_message(V6, 3, attribute(6, bytes(16)), attribute(1, bytes(15) + b"\1")), ("::1", 3)),
    ],
)
def test_an_address_of_a_point_to_point_link_is_this_ends(message, expected):
    assert expected == rtnetlink.parse_address(message)


def link_message(index, *attributes):
    body = struct.pack("=BBHiII", 0, 0, 1, index, 0x1043, 0) + b"".join(attributes)
    return memoryview(netlink.HEADER.pack(16 + len(body), rtnetlink.RTM_NEWLINK, 2, 1, 0) + body)


STATS64 = attribute(23, struct.pack("=24Q", 9000, 5000, 2**33, 2**40, *range(20)))
STATS = attribute(7, struct.pack("=24I", 9000, 5000, 0, 0, *range(20)))  # the same in 32 bits, before the other


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (link_message(2, attribute(3, b"eth0\0"), STATS, STATS64), ("eth0", "2")),
        (link_message(7, attribute(3, b"eth0\0"), attribute(5, struct.pack("=i", 8)), STATS64), ("eth0", "7@8")),
        (link_message(3, attribute(3, b"caf\xe9\0"), STATS64), ("caf\ufffd", "3")),
    ],
)
def test_an_interface_has_a_name_whole_counters_and_what_it_is_known_by(message, expected):
    found = rtnetlink.parse_interface(message)
    assert expected == (found.name, found.identity)
    assert Counters(2**33, 2**40, 9000, 5000) == found.counters


@pytest.mark.parametrize(
    "message",
    [
        link_message(2, STATS64),
        link_message(2, attribute(3, b"eth0\0"), STATS),
        link_message(2, attribute(3, b"eth0\0"), attribute(23, bytes(31))),
        link_message(2),
        memoryview(bytes(20)),
    ],
)
def test_an_interface_without_a_name_or_counters_is_an_error_and_not_left_out(message):
    with pytest.raises(netlink.NetlinkError, match="has no name or no counters"):
        rtnetlink.parse_interface(message)


@in_namespace
def test_the_ends_of_a_pair_are_known_by_their_indexes_and_each_others():
    namespace = Namespace()
    with namespace.entered():
        ip("link", "add", "eth0", "index", 7, "type", "veth", "peer", "name", "eth1", "index", 9)
        found = {each.name: each.identity for each in rtnetlink.read_interfaces()}
    namespace.close()
    assert {"lo": "1", "eth0": "7@9", "eth1": "9@7"} == found


@in_namespace
def test_a_change_is_heard_of_once_and_many_are_one():
    namespace = Namespace()
    with namespace.entered():
        changes = rtnetlink.Changes()
        heard = [changes.happened()]
        ip("link", "set", "lo", "up")
        heard += [changes.happened(), changes.happened()]
        for number in range(1, 60):  # more than the buffer holds
            ip("address", "add", f"10.0.0.{number}/32", "dev", "lo")
        heard += [changes.happened(), changes.happened()]
        changes.close()
        assert 60 <= len(rtnetlink.read_addresses())
    namespace.close()
    assert [False, True, False, True, False] == heard


def test_what_cannot_be_heard_is_an_error():
    changes = rtnetlink.Changes()
    changes.close()
    with pytest.raises(OSError, match="Bad file descriptor") as raised:
        changes.happened()
    assert errno.EBADF == raised.value.errno

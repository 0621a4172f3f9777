"""Sockets by netlink: recorded and broken answers of the kernel, and this machine's own."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections import Counter

import pytest

from defender_publisher.collectors import inet_diag, netlink
from defender_publisher.collectors.inet_diag import table_of
from defender_publisher.collectors.netlink import NLMSG_DONE, NLMSG_ERROR
from defender_publisher.collectors.table import ESTABLISHED, LISTEN, LocalEnd

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or sys.byteorder != "little", reason="netlink, recorded on a little-endian machine"
)

EXTRAS = bytes(12)  # timer and queue fields come after the interface; their content does not matter here


class FakeKernel:
    """Answers with datagrams."""

    def __init__(self, *datagrams: bytes) -> None:
        self._datagrams = list(datagrams)

    def recv_into(self, buffer, size, flags):
        assert flags & socket.MSG_TRUNC
        datagram = self._datagrams.pop(0)
        buffer[: len(datagram[:size])] = datagram[:size]
        return len(datagram)


def message(kind, payload, flags=netlink.REQUEST_DUMP & 2):
    return netlink.HEADER.pack(netlink.HEADER.size + len(payload), kind, flags, 1, 0) + payload


def done(status=0, flags=2):
    return message(NLMSG_DONE, struct.pack("=i", status), flags)


def packed(ip):
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    return family, socket.inet_pton(family, ip).ljust(16, b"\0")


def row(state, local, local_port, remote="0.0.0.0", remote_port=0, interface=0, extra=b"", flags=2):
    (family, local_ip), (_, remote_ip) = packed(local), packed(remote)
    body = struct.pack("!BBxxHH16s16s", family, state, local_port, remote_port, local_ip, remote_ip)
    return message(20, body + struct.pack("=I", interface) + EXTRAS + extra, flags)


def connection(number, local="10.0.2.5", extra=b""):
    return row(
        ESTABLISHED, local, 22, f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 50000, extra=extra
    )


def read(*datagrams, most=None):
    return table_of(netlink.receive(FakeKernel(*datagrams), 20), most)


def test_of_many_connections_a_sample_is_kept_and_all_are_counted():
    datagrams = [b"".join(connection(number) for number in range(start, start + 250)) for start in range(0, 5000, 250)]
    table = read(row(LISTEN, "0.0.0.0", 22) + datagrams[0], *datagrams[1:], done(), most=50)
    assert 5000 == table.connections
    assert 51 == len(set(table.rows))
    assert frozenset({LocalEnd("10.0.2.5", "")}) == table.local_ends


def test_every_connection_is_as_likely_as_any_other_to_be_kept(drawn_as_ever):
    datagrams = [b"".join(connection(number) for number in range(start, start + 10)) for start in range(0, 40, 10)]
    hits = Counter(each.remote_ip for _ in range(2000) for each in read(*datagrams, done(), most=8).rows)
    assert 40 == len(hits)
    assert 300 < min(hits.values())  # 400 expected, 18 the standard deviation
    assert max(hits.values()) < 500


def test_a_datagram_that_only_repeats_adds_nothing():
    rows = [connection(number) for number in range(10)]
    for again in [b"".join(rows[8:]), rows[9], rows[8] + connection(9, extra=bytes(8))]:
        assert 10 == read(b"".join(rows), again, done(), most=5).connections


def test_a_kernel_without_the_one_pass_for_tcp_is_asked_by_family(monkeypatch):
    asked = []

    def dump(protocol, kind, request, answer):
        asked.append(kind)
        error = message(NLMSG_ERROR, struct.pack("=i", -errno.EOPNOTSUPP))
        return netlink.receive(FakeKernel(error) if kind == 18 else FakeKernel(connection(len(asked)), done()), 20)

    monkeypatch.setattr(inet_diag, "dump", dump)
    assert {2, 3} == {int(each.remote_ip[-1]) for each in inet_diag.read_table("tcp", {ESTABLISHED}).rows}
    assert [18, 20, 20] == asked

"""The messages in which the kernel describes sockets become rows."""

from __future__ import annotations

import socket
import sys

import pytest

from defender_publisher.collectors.table import ESTABLISHED, LISTEN, UNCONNECTED, SocketRow
from tests.publisher.collectors.test_inet_diag import connection, done, read, row

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or sys.byteorder != "little", reason="netlink, recorded on a little-endian machine"
)


def test_sockets_of_both_families_and_all_states_become_rows():
    answer = (
        row(LISTEN, "0.0.0.0", 22),
        row(LISTEN, "::", 8080, "::", extra=bytes(8)),
        row(ESTABLISHED, "::ffff:10.0.2.5", 8080, "::ffff:10.0.2.2", 50003, extra=bytes(8)),
        row(ESTABLISHED, "2001:db8::1", 22, "2001:db8::2", 50002),
        row(UNCONNECTED, "127.0.0.53", 53),
    )
    expected = {
        SocketRow(LISTEN, "0.0.0.0", 22, "0.0.0.0", 0),
        SocketRow(LISTEN, "::", 8080, "::", 0),
        SocketRow(ESTABLISHED, "10.0.2.5", 8080, "10.0.2.2", 50003),
        SocketRow(ESTABLISHED, "2001:db8::1", 22, "2001:db8::2", 50002),
        SocketRow(UNCONNECTED, "127.0.0.53", 53, "0.0.0.0", 0),
    }
    for datagrams in [(b"".join(answer), done()), (b"".join(answer) + done(),), (*answer, done())]:
        for most in (None, 100):
            assert expected == set(read(*datagrams, most=most).rows)


def test_a_socket_bound_to_an_interface_says_so():
    lo = socket.if_nametoindex("lo")
    rows = read(row(LISTEN, "0.0.0.0", 22, interface=lo) + row(LISTEN, "0.0.0.0", 23, interface=99999), done()).rows
    assert ["lo", ""] == [each.bound_to for each in rows]


def test_messages_of_any_length_are_told_apart_by_their_length():
    lengths = [0, 4, 8, 3, 64]
    datagram = b"".join(
        message + b"\0" * (-len(message) % 4)
        for message in (connection(number, extra=bytes(length)) for number, length in enumerate(lengths))
    )
    assert 5 == len(set(read(datagram, done()).rows))
    assert 5 == len(set(read(datagram, done(), most=5).rows))
    assert 5 == read(datagram, done(), most=2).connections


def test_local_ends_are_told_apart_by_address_family_and_interface():
    lo = socket.if_nametoindex("lo")
    rows = [
        row(ESTABLISHED, "10.0.0.1", 1, "10.0.0.9", 1),
        row(ESTABLISHED, "10.0.0.2", 1, "10.0.0.9", 1),
        row(ESTABLISHED, "::ffff:10.0.0.2", 2, "::ffff:10.0.0.9", 1),
        row(ESTABLISHED, "a00:1::", 1, "2001:db8::2", 1),
        row(ESTABLISHED, "fe80::1", 1, "fe80::2", 1, interface=lo),
    ]
    expected = {("10.0.0.1", ""), ("10.0.0.2", ""), ("a00:1::", ""), ("fe80::1", "lo")}
    assert expected == read(b"".join(rows), done(), most=1).local_ends
    assert expected == read(*rows, done(), most=1).local_ends


def test_what_a_datagram_repeats_of_the_one_before_is_counted_once():
    rows = [connection(number) for number in range(40)]
    datagrams = [b"".join(rows[:20]), b"".join(rows[18:30]), b"".join(rows[28:])]
    assert 40 == read(*datagrams, done(), most=10).connections
    assert 40 == len(set(read(*datagrams, done()).rows))
    assert 40 == len(read(*datagrams, done(), most=100).rows)

"""Sockets by netlink: recorded and broken answers of the kernel, and this machine's own."""

from __future__ import annotations

import errno
import logging
import socket
import struct
import sys
from collections import Counter

import pytest

from defender_publisher.collectors import inet_diag, linux_sockets, netlink, procfs
from defender_publisher.collectors.inet_diag import table_of
from defender_publisher.collectors.linux_sockets import LinuxSockets
from defender_publisher.collectors.netlink import NLMSG_DONE, NLMSG_ERROR, NetlinkError
from defender_publisher.collectors.sockets import BLOCKS, collect_sockets
from defender_publisher.collectors.table import ESTABLISHED, LISTEN, UNCONNECTED, LocalEnd, SocketRow
from defender_publisher.snapshot import Port

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or sys.byteorder != "little", reason="netlink, recorded on a little-endian machine"
)

# Recorded: how a kernel (6.18) answers for a protocol it has no handler for, as one without udp_diag does for UDP: an
# empty dump, with -ENOENT in the payload of NLMSG_DONE.
EMPTY_DUMP = bytes.fromhex("14000000030002000100000070620000feffffff")
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


@pytest.mark.parametrize(
    ("datagrams", "sentence"),
    [
        ([EMPTY_DUMP], "No such file or directory"),
        ([connection(1), done(-errno.ENOENT)], "No such file"),
        ([message(NLMSG_ERROR, struct.pack("=i", -errno.EPERM) + bytes(16))], "Operation not permitted"),
        ([message(NLMSG_ERROR, b"")], "Input/output error"),
        ([connection(1)[:40]], "claims to be 72 bytes"),
        ([connection(1) + b"\0" * 8], "cut off"),
        ([connection(1) + b"\0" * 16], "claims to be 0 bytes"),
        ([bytes(40_000)], "longer than the kernel makes them"),
        ([message(20, bytes(20))], "a socket takes 36 bytes"),
        ([connection(1), done(flags=netlink.NLM_F_DUMP_INTR)], "changed meanwhile"),
        ([row(LISTEN, "::", 1, "::", flags=netlink.NLM_F_DUMP_INTR), done()], "changed meanwhile"),
    ],
)
def test_an_answer_that_is_not_the_whole_table_is_an_error(datagrams, sentence):
    with pytest.raises(NetlinkError, match=sentence):
        read(*datagrams)


def test_messages_of_any_length_are_told_apart_by_their_length():
    lengths = [0, 4, 8, 3, 64]
    datagram = b"".join(
        message + b"\0" * (-len(message) % 4)
        for message in (connection(number, extra=bytes(length)) for number, length in enumerate(lengths))
    )
    assert 5 == len(set(read(datagram, done()).rows))
    assert 5 == len(set(read(datagram, done(), most=5).rows))
    assert 5 == read(datagram, done(), most=2).connections


def test_of_many_connections_a_sample_is_kept_and_all_are_counted():
    datagrams = [b"".join(connection(number) for number in range(start, start + 250)) for start in range(0, 5000, 250)]
    table = read(row(LISTEN, "0.0.0.0", 22) + datagrams[0], *datagrams[1:], done(), most=50)
    assert 5000 == table.connections
    assert 51 == len(set(table.rows))
    assert frozenset({LocalEnd("10.0.2.5", "")}) == table.local_ends


def test_every_connection_is_as_likely_as_any_other_to_be_kept():
    datagrams = [b"".join(connection(number) for number in range(start, start + 10)) for start in range(0, 40, 10)]
    hits = Counter(each.remote_ip for _ in range(2000) for each in read(*datagrams, done(), most=8).rows)
    assert 40 == len(hits)
    assert 300 < min(hits.values())  # 400 expected, 18 the standard deviation
    assert max(hits.values()) < 500


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


def test_a_datagram_that_only_repeats_adds_nothing():
    rows = [connection(number) for number in range(10)]
    for again in [b"".join(rows[8:]), rows[9], rows[8] + connection(9, extra=bytes(8))]:
        assert 10 == read(b"".join(rows), again, done(), most=5).connections


def test_a_dump_that_was_interrupted_is_asked_for_again(monkeypatch):
    answers = [[done(flags=netlink.NLM_F_DUMP_INTR)], [connection(1), done()]]
    monkeypatch.setattr(inet_diag, "dump", lambda *_: netlink.receive(FakeKernel(*answers.pop(0)), 20))
    assert 1 == len(inet_diag.read_table("tcp", {ESTABLISHED}).rows)
    assert [] == answers


def test_a_kernel_without_the_one_pass_for_tcp_is_asked_by_family(monkeypatch):
    asked = []

    def dump(protocol, kind, request, answer):
        asked.append(kind)
        error = message(NLMSG_ERROR, struct.pack("=i", -errno.EOPNOTSUPP))
        return netlink.receive(FakeKernel(error) if kind == 18 else FakeKernel(connection(len(asked)), done()), 20)

    monkeypatch.setattr(inet_diag, "dump", dump)
    assert {2, 3} == {int(each.remote_ip[-1]) for each in inet_diag.read_table("tcp", {ESTABLISHED}).rows}
    assert [18, 20, 20] == asked


def refuse(number):
    def read_table(protocol, states, most):
        raise NetlinkError("refused", number)

    return read_table


@pytest.mark.parametrize(("number", "level", "asked"), [(errno.EPERM, "INFO", 1), (errno.ENOBUFS, "DEBUG", 3)])
def test_where_netlink_fails_proc_is_read_and_it_is_said_once(monkeypatch, caplog, number, level, asked):
    calls = []
    monkeypatch.setattr(inet_diag, "read_table", lambda *given: calls.append(given) or refuse(number)(*given))
    monkeypatch.setattr(procfs, "read_rows", lambda protocol, states: ["rows from proc"])
    caplog.set_level(logging.DEBUG, "defender_publisher")
    sockets = LinuxSockets()
    for _ in range(3):
        assert ["rows from proc"] == sockets("udp", {UNCONNECTED})
    assert asked == len(calls)
    assert {level} == {record.levelname for record in caplog.records}
    assert asked == len(caplog.records)


def test_one_protocol_without_a_handler_does_not_slow_the_other_down(monkeypatch):
    def read_table(protocol, states, most):
        return refuse(errno.ENOENT)(protocol, states, most) if protocol == "udp" else linux_sockets.Table([])

    monkeypatch.setattr(inet_diag, "read_table", read_table)
    monkeypatch.setattr(procfs, "read_rows", lambda protocol, states: ["rows from proc"])
    sockets = LinuxSockets()
    assert ["rows from proc"] == sockets("udp", {UNCONNECTED})
    assert [] == sockets("tcp", {LISTEN})


def test_a_protocol_the_kernel_does_not_have_is_a_permanent_refusal():
    with pytest.raises(NetlinkError) as raised:
        list(netlink.dump(31, 20, b"", 20))
    assert raised.value.permanent


def test_on_a_kernel_without_udp_diag_udp_ports_come_from_proc_and_not_as_an_empty_list(monkeypatch):
    dump = netlink.dump

    def without_udp_diag(protocol, kind, request, answer):
        return (
            netlink.receive(FakeKernel(EMPTY_DUMP), 20) if request[1] == 17 else dump(protocol, kind, request, answer)
        )

    monkeypatch.setattr(inet_diag, "dump", without_udp_diag)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        ports = collect_sockets(list(BLOCKS)).listening_udp_ports
        assert Port(bound.getsockname()[1], "lo") in ports

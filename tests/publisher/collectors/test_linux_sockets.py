"""Linux's sockets come by netlink, and from /proc where that is refused."""

from __future__ import annotations

import errno
import logging
import socket
import sys

import pytest

from defender_publisher.collectors import inet_diag, linux_sockets, netlink, procfs
from defender_publisher.collectors.linux_sockets import LinuxSockets
from defender_publisher.collectors.netlink import NetlinkError
from defender_publisher.collectors.sockets import BLOCKS, collect_sockets, select_reader
from defender_publisher.collectors.table import LISTEN, UNCONNECTED
from defender_publisher.snapshot import Port
from tests.ports import unused_port
from tests.publisher.collectors.test_inet_diag import FakeKernel
from tests.publisher.collectors.test_sockets import needs_linux

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or sys.byteorder != "little", reason="netlink, recorded on a little-endian machine"
)


# Recorded: how a kernel (6.18) answers for a protocol it has no handler for, as one without udp_diag does for UDP: an
# empty dump, with -ENOENT in the payload of NLMSG_DONE.
EMPTY_DUMP = bytes.fromhex("14000000030002000100000070620000feffffff")


def refuse(number):
    def read_table(*asked):
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
    def read_table(protocol, *asked):
        return refuse(errno.ENOENT)() if protocol == "udp" else linux_sockets.Table([])

    monkeypatch.setattr(inet_diag, "read_table", read_table)
    monkeypatch.setattr(procfs, "read_rows", lambda protocol, states: ["rows from proc"])
    sockets = LinuxSockets()
    assert ["rows from proc"] == sockets("udp", {UNCONNECTED})
    assert [] == sockets("tcp", {LISTEN})


def test_on_a_kernel_without_udp_diag_udp_ports_come_from_proc_and_not_as_an_empty_list(monkeypatch):
    dump = netlink.Kernel.dump

    def without_udp_diag(kernel, kind, request, answer):
        return netlink.receive(FakeKernel(EMPTY_DUMP), 20) if request[1] == 17 else dump(kernel, kind, request, answer)

    monkeypatch.setattr(netlink.Kernel, "dump", without_udp_diag)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", unused_port()))
        ports = collect_sockets(list(BLOCKS)).listening_udp_ports
        assert Port(bound.getsockname()[1], "lo") in ports


@needs_linux
def test_this_machines_sockets_are_read_by_netlink_and_another_ones_from_its_proc(tmp_path):
    assert LinuxSockets is type(select_reader("/proc"))
    assert procfs.read_rows == select_reader(str(tmp_path)).func

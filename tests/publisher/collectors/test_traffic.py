"""Traffic: the counters of interfaces and what they are known by, from recorded tables and from this machine."""

from __future__ import annotations

import logging
import socket
import sys
from collections import namedtuple

import psutil
import pytest

from defender_publisher.collectors import netstat, procfs, rtnetlink, traffic
from defender_publisher.collectors.netlink import NetlinkError
from defender_publisher.errors import CollectError
from defender_publisher.snapshot import Counters, Interface

LINUX = sys.platform.startswith("linux")
LOOPBACK = "lo" if LINUX else "lo0"

HEADING = (
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|"
    "bytes    packets errs drop fifo colls carrier compressed\n"
)
ETH0 = Counters(bytes_in=161133390, bytes_out=307284, packets_in=4569, packets_out=2697)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "  eth0: 161133390    4569    0    0    0     0          0         0   307284    2697    0 0 0 0 0 0",
            {"eth0": ETH0},
        ),
        (
            "  eth0:161133390    4569    0    0    0     0          0         0   307284    2697    0 0 0 0 0 0",
            {"eth0": ETH0},
        ),
        ("eth0:1: 161133390 4569 0 0 0 0 0 0 307284 2697 0 0 0 0 0 0", {"eth0:1": ETH0}),
        ("eth0:1:161133390 4569 0 0 0 0 0 0 307284 2697 0 0 0 0 0 0", {"eth0:1": ETH0}),
        ("wlx0123456789abcd: 161133390 4569 0 0 0 0 0 0 307284 2697 0 0 0 0 0 0", {"wlx0123456789abcd": ETH0}),
        ("lo: 18446744073709551615 1 0 0 0 0 0 0 2 3 0 0 0 0 0 0", {"lo": Counters(2**64 - 1, 2, 1, 3)}),
    ],
)
def test_counters_are_read_from_their_columns(line, expected):
    assert {name.encode(): each for name, each in expected.items()} == traffic.parse_counters(
        (HEADING + line + "\n").encode()
    )


@pytest.mark.parametrize(
    "garbage", ["", "eth1", "eth1: 1 2 3", "eth1: No statistics available", "eth1: a b c d e f g h i j"]
)
def test_a_line_that_is_no_interface_is_skipped_with_a_debug_line(garbage, caplog):
    caplog.set_level(logging.DEBUG, "defender_publisher")
    table = f"{HEADING}{garbage}\n  eth0: 161133390 4569 0 0 0 0 0 0 307284 2697 0 0 0 0 0 0\n"
    assert {b"eth0": ETH0} == traffic.parse_counters(table.encode())
    assert ["DEBUG"] == [record.levelname for record in caplog.records]


def test_the_hosts_counters_are_those_of_its_process_1(tmp_path):
    (tmp_path / "1" / "net").mkdir(parents=True)
    (tmp_path / "1" / "net" / "dev").write_text(HEADING + "eth0: 161133390 4569 0 0 0 0 0 0 307284 2697 0 0 0 0 0 0\n")
    assert {"eth0": Interface("eth0", ETH0)} == traffic.collect_traffic(str(tmp_path))


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (None, "cannot read .*1/net/dev: No such file"),
        ("", "is empty"),
        (HEADING, "no network interface has counters"),
    ],
)
def test_counters_that_are_not_there_are_an_error_and_not_nothing(tmp_path, table, sentence):
    (tmp_path / "1" / "net").mkdir(parents=True)
    if table is not None:
        (tmp_path / "1" / "net" / "dev").write_text(table)
    with pytest.raises(CollectError, match=sentence):
        traffic.collect_traffic(str(tmp_path))


def test_loopback_counts_what_this_test_sends():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.bind(("127.0.0.1", 0))
        before = traffic.collect_traffic()[LOOPBACK].counters
        for _ in range(10):
            client.sendto(b"x" * 1000, server.getsockname())
            server.recv(2000)
        after = traffic.collect_traffic()[LOOPBACK].counters
    assert after.bytes_out - before.bytes_out >= 10 * 1000
    assert after.bytes_in - before.bytes_in >= 10 * 1000
    assert after.packets_out - before.packets_out >= 10
    assert after.packets_in - before.packets_in >= 10


def test_a_system_without_proc_is_read_by_psutil(monkeypatch, tmp_path):
    monkeypatch.setattr(procfs, "OWN_PROCFS", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "freebsd14")
    monkeypatch.setattr(socket, "if_nametoindex", {"en0": 3}.__getitem__)
    counted = namedtuple("counted", "bytes_sent bytes_recv packets_sent packets_recv")

    def net_io_counters(pernic, nowrap):
        return {"en0": counted(307284, 161133390, 2697, 4569)} if pernic and not nowrap else {}

    monkeypatch.setattr(psutil, "net_io_counters", net_io_counters)
    assert {"en0": Interface("en0", ETH0, "3")} == traffic.collect_traffic(str(tmp_path))


@pytest.mark.parametrize("error", [psutil.AccessDenied(), OSError("no such device")])
def test_psutils_errors_become_ours(monkeypatch, tmp_path, error):
    def refuse(pernic, nowrap):
        raise error

    monkeypatch.setattr(procfs, "OWN_PROCFS", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "freebsd14")
    monkeypatch.setattr(psutil, "net_io_counters", refuse)
    with pytest.raises(CollectError, match="psutil cannot read the interfaces' counters"):
        traffic.collect_traffic(str(tmp_path))


@pytest.mark.skipif(not LINUX, reason="there is no /proc")
def test_proc_and_psutil_know_the_same_interfaces():
    assert set(psutil.net_io_counters(pernic=True)) == set(traffic.collect_traffic())


@pytest.mark.skipif(not LINUX, reason="there is no /proc")
def test_where_netlink_is_refused_proc_has_the_same_interfaces_and_indexes(monkeypatch):
    by_netlink = {each.name: each.identity.partition("@")[0] for each in rtnetlink.read_interfaces()}

    def refuse():
        raise NetlinkError("forbidden")

    monkeypatch.setattr(rtnetlink, "read_interfaces", refuse)
    assert by_netlink == {name: each.identity for name, each in traffic.collect_traffic().items()}
    assert by_netlink


# A gateway's, rewritten from published tables: a modem that is up, and one interface in each table only.
IGMP = """\
Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
12\tppp0      :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
"""
DEV_MCAST = """\
2    eth0            1     0     333300000001
2    eth0            1     0     01005e000001
7    wlan0           1     0     333300000001
"""
IF_INET6 = """\
00000000000000000000000000000001 01 80 10 80       lo
fe8000000000000000fc00fffe000001 0b 40 20 80 enx00e04c680001
"""


def test_a_hosts_proc_tells_indexes_in_three_tables_and_each_may_be_missing(tmp_path):
    for name, text in (("igmp", IGMP), ("dev_mcast", DEV_MCAST), ("if_inet6", IF_INET6)):
        (tmp_path / name).write_text(text)
    expected = {"lo": "1", "ppp0": "12", "eth0": "2", "wlan0": "7", "enx00e04c680001": "11"}
    assert expected == traffic.read_indexes(str(tmp_path))
    (tmp_path / "dev_mcast").unlink()
    (tmp_path / "igmp").write_text("")
    assert {"lo": "1", "enx00e04c680001": "11"} == traffic.read_indexes(str(tmp_path))


def test_two_names_that_are_not_utf8_do_not_become_one_interface(monkeypatch):
    seen = [Interface("caf\ufffd", ETH0, "2"), Interface("caf\ufffd", ETH0, "3"), Interface("lo", ETH0, "1")]
    monkeypatch.setattr(traffic, "_read", lambda procfs_path: seen)
    found = traffic.collect_traffic()
    assert {"caf\ufffd": "2", "caf\ufffd%3": "3", "lo": "1"} == {name: each.identity for name, each in found.items()}


# Rewritten from tables that users of macOS 13, 14 and 15 published; addresses are documentation's. What differs between
# versions is the width of the first column; `-n` makes networks and addresses numbers.
MACOS_13 = """\
Name       Mtu   Network       Address            Ipkts Ierrs     Ibytes    Opkts Oerrs     Obytes  Coll
lo0        16384 <Link#1>                       5128706     0 1575192126  5128706     0 1575192126     0
lo0        16384 127           127.0.0.1        5128706     - 1575192126  5128706     - 1575192126     -
gif0*      1280  <Link#2>                             0     0          0        0     0          0     0
en5        1500  <Link#8>    00:00:5e:00:53:04   290197     0  987654321   324460     0  123456789     0
en5        1500  192.0.2       192.0.2.109       290197     -  987654321   324460     -  123456789     -
"""
MACOS_14 = """\
Name       Mtu   Network       Address            Ipkts Ierrs     Ibytes    Opkts Oerrs     Obytes  Coll
lo0        16384 <Link#1>                      186774513     0 49065918657 186774513     0 49065918657     0
lo0        16384 ::1/128     ::1               186774513     - 49065918657 186774513     - 49065918657     -
lo0        16384 fe80::1%lo0 fe80:1::1         186774513     - 49065918657 186774513     - 49065918657     -
anpi0      1500  <Link#4>    00:00:5e:00:53:0e        0     0          0        0     0          0     0
en0        1500  <Link#14>   00:00:5e:00:53:6c 82511778     0 75656778687 89364180     0 79224021508     0
en0        1500  fe80::3e:47 fe80:e::3e:471a:d 82511778     - 75656778687 89364180     - 79224021508     -
en0        1500  198.51.100    198.51.100.29   82511778     - 75656778687 89364180     - 79224021508     -
utun1      1380  <Link#19>                            0     0          0     5709     0    2812862     0
"""
MACOS_15 = """\
Name       Mtu   Network       Address            Ipkts Ierrs     Ibytes    Opkts Oerrs     Obytes  Coll
lo0        16384 <Link#1>                      229400012     0 1701599120326 229400012     0 1701599120326     0
lo0        16384 127           127.0.0.1       229400012     - 1701599120326 229400012     - 1701599120326     -
stf0*      1280  <Link#3>                             0     0          0        0     0          0     0
en0        1500  <Link#15>   00:00:5e:00:53:39 431229948     0 501156651054 124449892     0 73047266812     0
en0        1500  203.0.113     203.0.113.131   431229948     - 501156651054 124449892     - 73047266812     -
utun4      1280  <Link#20>                       1234     0  156653641959     5678     0  7487123922     0
utun4      1280  100.67.72.103/32 100.67.72.103   1234     -  156653641959     5678     -  7487123922     -
vlan0.10   1500  <Link#23>   00:00:5e:00:53:06      100     0       7777      100     0       8888     0
"""


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (
            MACOS_13,
            {
                "lo0": ("1", Counters(1575192126, 1575192126, 5128706, 5128706)),
                "gif0": ("2", Counters(0, 0, 0, 0)),
                "en5": ("8", Counters(987654321, 123456789, 290197, 324460)),
            },
        ),
        (
            MACOS_14,
            {
                "lo0": ("1", Counters(49065918657, 49065918657, 186774513, 186774513)),
                "anpi0": ("4", Counters(0, 0, 0, 0)),
                "en0": ("14", Counters(75656778687, 79224021508, 82511778, 89364180)),
                "utun1": ("19", Counters(0, 2812862, 0, 5709)),
            },
        ),
        (
            MACOS_15,
            {
                "lo0": ("1", Counters(1701599120326, 1701599120326, 229400012, 229400012)),
                "stf0": ("3", Counters(0, 0, 0, 0)),
                "en0": ("15", Counters(501156651054, 73047266812, 431229948, 124449892)),
                "utun4": ("20", Counters(156653641959, 7487123922, 1234, 5678)),
                "vlan0.10": ("23", Counters(7777, 8888, 100, 100)),
            },
        ),
    ],
    ids=["macOS 13", "macOS 14", "macOS 15"],
)
def test_macos_is_read_by_netstat_whose_counters_are_whole(monkeypatch, tmp_path, printed, expected):
    fake = tmp_path / "netstat"
    fake.write_text(f"#!/bin/sh\n[ \"$*\" = -ibn ] || exit 64\ncat <<'END'\n{printed}END\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(procfs, "OWN_PROCFS", str(tmp_path / "none"))
    monkeypatch.setattr(netstat.read_interfaces, "__defaults__", (str(fake),))
    found = traffic.collect_traffic(str(tmp_path / "none"))
    assert expected == {name: (each.identity, each.counters) for name, each in found.items()}


def test_where_received_bytes_are_not_counted_nothing_is_made_of_the_zero():
    heading = MACOS_13.split("\n")[0]
    line = "en0   1500  <Link#4>    00:00:5e:00:53:07      {}     0          0      980     0     120345     0"
    assert [0] == [each.counters.bytes_in for each in netstat.parse_interfaces(f"{heading}\n{line.format(99)}\n")]
    with pytest.raises(CollectError, match="no bytes for 100 packets received"):
        list(netstat.parse_interfaces(f"{heading}\n{line.format(100)}\n"))


def test_a_name_that_netstat_cut_is_the_kernels(monkeypatch):
    monkeypatch.setattr(socket, "if_indextoname", {7: "bridge100"}.get)
    heading = MACOS_13.split("\n")[0]
    line = "bridg* 1500  <Link#7>    00:00:5e:00:53:07        0     0          0        0     0          0     0"
    assert ["bridge100"] == [each.name for each in netstat.parse_interfaces(f"{heading}\n{line}\n")]


@pytest.mark.parametrize(
    ("printed", "sentence"),
    [
        ("", "printed no table of interfaces"),
        ("netstat: sysctl: not permitted\n", "printed no table of interfaces"),
        (MACOS_13.replace("  290197     0", "       -     0"), "printed counters that are no numbers: en5"),
    ],
)
def test_what_is_no_table_of_counters_is_said(printed, sentence):
    with pytest.raises(CollectError, match=sentence):
        list(netstat.parse_interfaces(printed))

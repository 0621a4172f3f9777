"""Interfaces: their addresses from psutil, their counters from recorded tables and from this machine."""

from __future__ import annotations

import logging
import socket
import sys
from collections import namedtuple

import psutil
import pytest

from defender_publisher.collectors import interfaces, procfs
from defender_publisher.errors import CollectError
from defender_publisher.snapshot import Counters

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
    assert expected == interfaces.parse_counters(HEADING + line + "\n")


@pytest.mark.parametrize(
    "garbage", ["", "eth1", "eth1: 1 2 3", "eth1: No statistics available", "eth1: a b c d e f g h i j"]
)
def test_a_line_that_is_no_interface_is_skipped_with_a_debug_line(garbage, caplog):
    caplog.set_level(logging.DEBUG, "defender_publisher")
    table = f"{HEADING}{garbage}\n  eth0: 161133390 4569 0 0 0 0 0 0 307284 2697 0 0 0 0 0 0\n"
    assert {"eth0": ETH0} == interfaces.parse_counters(table)
    assert ["DEBUG"] == [record.levelname for record in caplog.records]


def test_the_hosts_counters_are_those_of_its_process_1(tmp_path):
    (tmp_path / "1" / "net").mkdir(parents=True)
    (tmp_path / "1" / "net" / "dev").write_text(HEADING + "eth0: 161133390 4569 0 0 0 0 0 0 307284 2697 0 0 0 0 0 0\n")
    assert {"eth0": ETH0} == interfaces.collect_counters(str(tmp_path))


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
        interfaces.collect_counters(str(tmp_path))


def test_loopback_counts_what_this_test_sends():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.bind(("127.0.0.1", 0))
        before = interfaces.collect_counters()[LOOPBACK]
        for _ in range(10):
            client.sendto(b"x" * 1000, server.getsockname())
            server.recv(2000)
        after = interfaces.collect_counters()[LOOPBACK]
    assert after.bytes_out - before.bytes_out >= 10 * 1000
    assert after.bytes_in - before.bytes_in >= 10 * 1000
    assert after.packets_out - before.packets_out >= 10
    assert after.packets_in - before.packets_in >= 10


def test_a_system_without_proc_is_read_by_psutil(monkeypatch, tmp_path):
    monkeypatch.setattr(procfs, "OWN_PROCFS", str(tmp_path))
    counted = namedtuple("counted", "bytes_sent bytes_recv packets_sent packets_recv")

    def net_io_counters(pernic, nowrap):
        return {"en0": counted(307284, 161133390, 2697, 4569)} if pernic and not nowrap else {}

    monkeypatch.setattr(psutil, "net_io_counters", net_io_counters)
    assert {"en0": ETH0} == interfaces.collect_counters(str(tmp_path))


@pytest.mark.parametrize("error", [psutil.AccessDenied(), OSError("no such device")])
def test_psutils_errors_become_ours(monkeypatch, tmp_path, error):
    def refuse(pernic, nowrap):
        raise error

    monkeypatch.setattr(procfs, "OWN_PROCFS", str(tmp_path))
    monkeypatch.setattr(psutil, "net_io_counters", refuse)
    with pytest.raises(CollectError, match="psutil cannot read the interfaces' counters"):
        interfaces.collect_counters(str(tmp_path))


@pytest.mark.skipif(not LINUX, reason="there is no /proc")
def test_proc_and_psutil_know_the_same_interfaces():
    assert set(psutil.net_io_counters(pernic=True)) == set(interfaces.collect_counters())


@pytest.mark.parametrize(
    ("local_ip", "expected"),
    [
        ("0.0.0.0", "0.0.0.0"),
        ("::", "::"),
        ("127.0.0.1", "lo"),
        ("127.0.0.53", "lo"),
        ("127.255.255.255", "lo"),
        ("::1", "lo"),
        ("10.0.2.5", "eth0"),
        ("12.7.0.1", ""),
        ("::2", ""),
    ],
)
def test_a_local_address_gives_an_interface(local_ip, expected):
    names = {"127.0.0.1": "lo", "::1": "lo", "10.0.2.5": "eth0"}
    assert expected == interfaces.interface_of(local_ip, names)


def test_what_a_socket_is_bound_to_wins_over_its_address():
    assert "eth1" == interfaces.interface_of("fe80::1", {"fe80::1": ""}, "eth1")
    assert "eth1" == interfaces.interface_of("0.0.0.0", {}, "eth1")


def test_interface_addresses_are_each_once_sorted_without_loopback(monkeypatch):
    seen = {"127.0.0.1": "lo", "127.0.1.1": "lo", "::1": "lo", "fe80::1": "", "10.0.2.5": "eth0"}
    monkeypatch.setattr(interfaces, "interface_names", lambda procfs_path: seen)
    assert ["10.0.2.5", "fe80::1"] == interfaces.interface_addresses()

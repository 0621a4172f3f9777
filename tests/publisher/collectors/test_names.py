"""Which interface an address is on: by netlink, from a host's /proc, from psutil."""

from __future__ import annotations

import socket
import sys
from collections import namedtuple

import psutil
import pytest

from defender_publisher.collectors import names, procfs, rtnetlink
from defender_publisher.collectors.netlink import NetlinkError

Address = namedtuple("Address", "family address")

needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no netlink")


@pytest.mark.parametrize("count", [2, 3])
def test_an_address_that_several_interfaces_have_leads_to_none_of_them(count):
    assert {"fe80::1": ""} == names.names_by_address(("fe80::1", f"eth{number}") for number in range(count))


def test_psutils_addresses_come_without_zone_and_without_hardware_addresses(monkeypatch, tmp_path):
    seen = {
        "lo": [Address(socket.AF_INET, "127.0.0.1"), Address(socket.AF_INET6, "::1")],
        "eth0": [Address(socket.AF_INET, "10.0.2.5"), Address(socket.AF_INET6, "fe80::1%eth0")],
        "eth1": [Address(psutil.AF_LINK, "02:fc:00:00:00:01")],
    }
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: seen)
    monkeypatch.setattr(sys, "platform", "freebsd14")
    monkeypatch.setattr(procfs, "OWN_PROCFS", str(tmp_path))
    expected = {"127.0.0.1": "lo", "::1": "lo", "10.0.2.5": "eth0", "fe80::1": "eth0"}
    assert expected == names.interface_names(str(tmp_path))


@needs_linux
def test_netlink_and_psutil_and_proc_know_the_same_addresses(monkeypatch):
    expected = set(names._psutil_addresses())
    assert expected == set(names.read_addresses())

    def refuse():
        raise NetlinkError("forbidden")

    monkeypatch.setattr(rtnetlink, "read_addresses", refuse)
    assert expected == set(names.read_addresses())


@needs_linux
def test_addresses_are_read_again_only_after_a_change(monkeypatch):
    reads = []
    monkeypatch.setattr(names, "interface_names", lambda path: reads.append(path) or {})
    seen = names.InterfaceNames()
    for _ in range(5):
        seen.current()
    assert 2 == len(reads)  # once at first, and once more when the kernel was asked to tell of changes
    monkeypatch.setattr(rtnetlink.Changes, "happened", lambda self: True)
    seen.current()
    assert 3 == len(reads)


def test_a_hosts_addresses_are_read_at_every_look(monkeypatch, tmp_path):
    reads = []
    monkeypatch.setattr(names, "interface_names", lambda path: reads.append(path) or {})
    seen = names.InterfaceNames(str(tmp_path))
    for _ in range(3):
        seen.current()
    assert 3 == len(reads)


@needs_linux
def test_where_changes_cannot_be_heard_of_addresses_are_read_at_every_look(monkeypatch):
    def refuse():
        raise PermissionError(1, "Operation not permitted")

    reads = []
    monkeypatch.setattr(names, "interface_names", lambda path: reads.append(path) or {})
    monkeypatch.setattr(rtnetlink, "Changes", refuse)
    seen = names.InterfaceNames()
    for _ in range(3):
        seen.current()
    assert 3 == len(reads)

"""Interfaces: which one an address is on, and the addresses that there are."""

from __future__ import annotations

import pytest

from defender_publisher.collectors import interfaces


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

"""Hosts: what a certificate is for, where things connect to, and where the broker listens."""

from __future__ import annotations

import pytest

from defender_detect.authority import hosts
from defender_detect.authority.hosts import EVERYWHERE, find_hosts, normal, own_hosts
from defender_detect.errors import AuthorityError

LOCAL = ("localhost", "127.0.0.1", "::1")


@pytest.mark.parametrize(
    ("given", "names", "listening"),
    [
        (["localhost"], LOCAL, "127.0.0.1"),
        (["127.0.0.1"], ("127.0.0.1", "localhost", "::1"), "127.0.0.1"),
        (["detect.home"], ("detect.home", *LOCAL), EVERYWHERE),
        (["detect.home", "192.0.2.9"], ("detect.home", "192.0.2.9", *LOCAL), EVERYWHERE),
        (["Detect.Home.", "detect.home"], ("detect.home", *LOCAL), EVERYWHERE),
        (["203.0.113.77"], ("203.0.113.77", *LOCAL), EVERYWHERE),  # of a router before this machine
        (["2001:DB8:0::77"], ("2001:db8::77", *LOCAL), EVERYWHERE),
    ],
)
def test_what_was_named_comes_first_and_the_loopback_is_always_there(given, names, listening):
    found = find_hosts(given)
    assert (found.names, found.endpoint, found.listening) == (names, names[0], listening)


def test_one_address_of_this_machine_is_where_it_listens(monkeypatch):
    monkeypatch.setattr(hosts, "is_own_address", lambda host: host == "192.0.2.9")
    assert find_hosts(["192.0.2.9"]).listening == "192.0.2.9"
    assert find_hosts(["192.0.2.9", "detect.home"]).listening == EVERYWHERE


def test_without_a_name_it_is_this_machines_addresses_and_names(monkeypatch):
    monkeypatch.setattr(hosts, "_address_towards", lambda family, elsewhere: {"192.0.2.1": "10.0.0.5"}.get(elsewhere))
    monkeypatch.setattr(hosts, "_addresses", lambda name: ["10.0.0.5", "10.1.0.5"])
    monkeypatch.setattr(hosts.socket, "gethostname", lambda: "Guard_1")
    monkeypatch.setattr(hosts.socket, "getfqdn", lambda name: "guard.example.com")
    assert own_hosts() == ["10.0.0.5", "guard.example.com", "10.1.0.5"]  # and no name that no certificate can have
    monkeypatch.setattr(hosts.socket, "gethostname", lambda: "guard")
    assert own_hosts() == ["10.0.0.5", "guard.example.com", "guard", "guard.local", "10.1.0.5"]
    assert find_hosts([]).listening == EVERYWHERE


def test_a_machine_without_a_network_and_a_name_has_its_loopback(monkeypatch):
    monkeypatch.setattr(hosts, "_address_towards", lambda family, elsewhere: None)
    monkeypatch.setattr(hosts, "_addresses", lambda name: [])
    monkeypatch.setattr(hosts.socket, "gethostname", lambda: "localhost")
    monkeypatch.setattr(hosts.socket, "getfqdn", lambda name: "localhost")
    monkeypatch.setattr(hosts, "_names", lambda name: [])
    assert own_hosts() == ["localhost"]


def test_a_name_in_another_alphabet_is_as_dns_has_it():
    assert normal("küche.home") == "xn--kche-0ra.home"


@pytest.mark.parametrize("text", ["", "a b", "../etc", "a_b", "a..b", "*.home", "x" * 254, "a" * 64, "\ud800"])
def test_what_is_no_host_is_said(text):
    with pytest.raises(AuthorityError, match="--listen must be a host's name or address, got "):
        normal(text)


@pytest.mark.parametrize("text", ["0.0.0.0", "::"])
def test_every_address_is_none_that_a_thing_could_connect_to(text):
    with pytest.raises(AuthorityError, match="which is none"):
        normal(text)

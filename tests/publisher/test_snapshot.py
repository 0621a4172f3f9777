"""Looks at sockets are united, without taking what was not collected for nothing."""

from __future__ import annotations

from defender_publisher.snapshot import Connection, Port, Sockets

SSH, HTTP = Port(22, "eth0"), Port(80, "eth0")
ONE, TWO = (Connection(f"10.0.0.{number}:443", 5000, "eth0") for number in (1, 2))


def test_two_looks_are_everything_that_either_saw() -> None:
    united = Sockets(frozenset({SSH}), None, frozenset({ONE})).union(Sockets(frozenset({HTTP}), None, frozenset({TWO})))
    assert Sockets(frozenset({SSH, HTTP}), None, frozenset({ONE, TWO})) == united


def test_a_block_that_one_look_could_not_collect_is_the_other_ones() -> None:
    seen, failed = Sockets(listening_udp_ports=frozenset({SSH})), Sockets()
    assert seen == seen.union(failed) == failed.union(seen)
    assert Sockets(listening_udp_ports=frozenset()) == failed.union(Sockets(listening_udp_ports=frozenset()))


def test_of_samples_the_later_one_stands_alone() -> None:
    sampled = Sockets(tcp_connections=frozenset({ONE}), connections_total=1000)
    later = Sockets(tcp_connections=frozenset({TWO}), connections_total=2000)
    assert (frozenset({TWO}), 2000) == (sampled.union(later).tcp_connections, sampled.union(later).connections_total)
    whole = Sockets(tcp_connections=frozenset({TWO}))
    assert (frozenset({TWO}), None) == (sampled.union(whole).tcp_connections, sampled.union(whole).connections_total)


def test_what_is_the_devices_own_address_in_one_look_is_it_in_both() -> None:
    united = Sockets(own_addresses=frozenset({"10.0.0.1"})).union(Sockets(own_addresses=frozenset({"::1"})))
    assert frozenset({"10.0.0.1", "::1"}) == united.own_addresses

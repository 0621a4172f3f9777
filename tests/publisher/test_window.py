"""A report holds everything that any look since the last accepted report saw."""

from __future__ import annotations

from defender_publisher.snapshot import Connection, Port, Sockets
from defender_publisher.window import Window

SSH, DNS = Port(22, "eth0"), Port(53, "lo")
SHORT_LIVED = Connection("10.0.0.1:443", 1, "eth0")


def test_a_connection_that_lived_between_two_reports_is_seen() -> None:
    window = Window(300)
    window.add(Sockets(frozenset({SSH}), None, frozenset({SHORT_LIVED})), 0)
    window.add(Sockets(frozenset({SSH, DNS}), None, frozenset()), 10)
    assert Sockets(frozenset({SSH, DNS}), None, frozenset({SHORT_LIVED})) == window.seen


def test_a_look_that_failed_takes_nothing_away() -> None:
    window = Window(300)
    window.add(Sockets(None, frozenset({DNS}), None), 0)
    window.add(Sockets(frozenset(), None, None), 10)
    assert Sockets(frozenset(), frozenset({DNS}), None) == window.seen


def test_a_window_begins_anew_after_an_accepted_report() -> None:
    window = Window(300)
    window.add(Sockets(frozenset({SSH})), 0)
    assert Sockets(frozenset({SSH})) == window.take()
    assert Sockets() == window.seen
    window.add(Sockets(frozenset({DNS})), 1)
    assert Sockets(frozenset({DNS})) == window.seen


def test_what_a_report_could_not_deliver_is_kept_with_what_was_seen_meanwhile() -> None:
    window = Window(300)
    window.add(Sockets(frozenset({SSH})), 0)
    taken = window.take()
    window.add(Sockets(frozenset({DNS})), 5)
    window.put_back(taken)
    assert Sockets(frozenset({SSH, DNS})) == window.seen
    window.add(Sockets(frozenset()), 451)  # and it is as old as its first look
    assert Sockets(frozenset()) == window.seen


def test_what_was_seen_long_ago_is_not_current_and_does_not_pile_up() -> None:
    window = Window(300)
    for number in range(1000):
        window.add(Sockets(frozenset({Port(number, "")})), number * 10.0)
    assert len(window.seen.listening_tcp_ports or ()) <= 46


def test_a_clock_that_is_set_back_starts_a_new_window() -> None:
    window = Window(300)
    window.add(Sockets(frozenset({SSH})), 1e9)
    window.add(Sockets(frozenset({DNS})), 10)
    assert Sockets(frozenset({DNS})) == window.seen


def test_a_look_that_was_sampled_stands_alone_because_its_union_could_not_be_counted() -> None:
    one, other = frozenset({SHORT_LIVED}), frozenset({Connection("10.0.0.2:443", 2, "eth0")})
    for first, second, expected in [
        (Sockets(None, None, one, 500), Sockets(None, None, other, 600), Sockets(None, None, other, 600)),
        (Sockets(None, None, one, 500), Sockets(None, None, other), Sockets(None, None, other)),
        (Sockets(None, None, one), Sockets(None, None, other, 600), Sockets(None, None, other, 600)),
        (Sockets(None, None, one, 500), Sockets(), Sockets(None, None, one, 500)),
        (Sockets(None, None, one), Sockets(None, None, other), Sockets(None, None, one | other)),
    ]:
        window = Window(300)
        window.add(first, 0)
        window.add(second, 10)
        assert expected == window.seen

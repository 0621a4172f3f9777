"""A list over time is a row for each of what it held; what is wrong or new stands first, and a page stays bounded."""

from __future__ import annotations

import pytest

from defender_detect.console.axis import Axis
from defender_detect.console.strips import (
    MOST_ALONE,
    MOST_ROWS,
    find_stretches,
    group_by_network,
    make_strip,
    network_of,
)
from tests.detect.console.conftest import HOSTILE

NOW = 1_800_000_000.0
AXIS = Axis(NOW - 1000, NOW)
PORTS = "aws:listening-tcp-ports"


def test_a_row_is_filled_while_something_was_there_and_what_is_wrong_or_new_stands_first() -> None:
    lists = [(NOW - 1000 + 100 * number, (22, 80, 4444) if number > 6 else (22, 80)) for number in range(10)]
    criteria = {"comparisonOperator": "in-port-set", "value": {"ports": [22, 80]}}
    strip = make_strip("aws:listening-tcp-ports", lists, AXIS, [criteria])
    assert ["4444", "22", "80"] == [row.name for row in strip.rows]
    assert [(True, True), (False, False), (False, False)] == [(row.is_wrong, row.is_new) for row in strip.rows]
    assert ((70, 30),) == strip.rows[0].stretches
    assert ((0, 100),) == strip.rows[1].stretches


def test_silence_fills_nothing() -> None:
    lists = [(NOW - 1000, (22,)), (NOW - 990, (22,)), (NOW - 980, (22,)), (NOW - 20, (22,)), (NOW - 10, (22,))]
    (row,) = make_strip("aws:listening-tcp-ports", lists, AXIS, []).rows
    assert 2 == len(row.stretches)
    assert sum(width for _, width in row.stretches) < 6


def test_many_addresses_are_put_together_by_network_and_a_wrong_one_stands_alone() -> None:
    ours = tuple(f"10.0.{number % 3}.{number}" for number in range(200))
    lists = [(NOW - 900, ours), (NOW - 800, (*ours[:50], "198.51.100.66", "2001:db8::1"))]
    criteria = {"comparisonOperator": "in-cidr-set", "value": {"cidrs": ["10.0.0.0/8", "2001:db8::/32"]}}
    names = [row.name for row in make_strip("aws:destination-ip-addresses", lists, AXIS, [criteria]).rows]
    assert "198.51.100.66" == names[0]
    assert {"10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "2001:db8::/64"} == set(names[1:])


def test_a_thing_that_talks_to_everybody_has_a_bounded_page() -> None:
    lists = [(NOW - 900 + number, (f"{number % 200 + 1}.{number % 251}.7.9",)) for number in range(800)]
    strip = make_strip("aws:destination-ip-addresses", lists, AXIS, [])
    assert MOST_ROWS == len(strip.rows)
    assert strip.more > 0


def test_a_list_that_was_always_empty_has_a_title_and_no_row() -> None:
    assert ("listening TCP ports", [], 0) == make_strip(PORTS, [(NOW - 500, ()), (NOW - 400, ())], AXIS, [])
    assert [] == make_strip(PORTS, [], AXIS, []).rows == make_strip(PORTS, [(NOW - 500, 7)], AXIS, []).rows


def test_a_row_says_in_how_many_reports_it_was() -> None:
    lists = [(NOW - 1000, (22,)), (NOW - 500, (22, 4444)), (NOW - 400, (22,))]
    normal = {"comparisonOperator": "in-port-set", "value": {"ports": [22]}}
    words = [(row.name, row.words) for row in make_strip(PORTS, lists, AXIS, [normal]).rows]
    assert [("4444", "not normal, new, in 1 of 3 reports"), ("22", "in 3 of 3 reports")] == words


@pytest.mark.parametrize(("first", "is_new"), [(-950, False), (-900, False), (-899, True)])
def test_what_came_in_the_first_tenth_is_not_new(first: float, is_new: bool) -> None:
    lists = [(NOW - 1000, (22,)), (NOW + first, (22, 80))]
    assert [is_new] == [row.is_new for row in make_strip(PORTS, lists, AXIS, []).rows if row.name == "80"]


def test_what_the_first_report_has_is_not_new_however_late_that_came() -> None:
    (row,) = make_strip(PORTS, [(NOW - 100, (22,))], AXIS, []).rows
    assert not row.is_new
    assert 1 == len(row.stretches)


def test_ports_are_in_the_order_of_their_numbers_and_strings_by_how_often_they_were_there() -> None:
    ports = make_strip(PORTS, [(NOW - 1000, (8080, 22, 443))], AXIS, [])
    assert ["22", "443", "8080"] == [row.name for row in ports.rows]
    strings = make_strip("strings", [(NOW - 1000, ("a", "b")), (NOW - 900, ("b",))], AXIS, [])
    assert ["b", "a"] == [row.name for row in strings.rows]


def test_a_hostile_string_is_a_row_that_can_be_printed() -> None:
    (row,) = make_strip("strings", [(NOW - 500, (HOSTILE,))], AXIS, []).rows
    assert row.name.isprintable()
    assert "\x1b" not in row.name


def test_a_report_speaks_until_the_next_or_for_an_interval_where_that_is_missing() -> None:
    times = [0.0, 10.0, 20.0, 60.0]
    assert [(0, 30), (60, 70)] == find_stretches([0, 1, 2, 3], times, 10, 0)
    assert [(0, 10), (20, 30)] == find_stretches([0, 2], times, 10, 0)
    assert [(0, 30)] == find_stretches([0, 2], times, 10, 10)  # so close that they are one
    assert [] == find_stretches([], times, 10, 0)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("no address", "no address"),
        ("", ""),
    ],
)
def test_an_address_is_in_a_network_and_anything_else_is_its_own_name(address: str, network: str) -> None:
    assert network == network_of(address, 24, 64)


def test_few_addresses_stand_alone_and_networks_are_as_large_as_they_must_be() -> None:
    few = [f"10.0.{number}.1" for number in range(MOST_ALONE)]
    assert {} == group_by_network(few)
    assert {"10.0.0.0/24"} == set(group_by_network([f"10.0.0.{number}" for number in range(MOST_ALONE + 1)]).values())
    assert {"10.0.0.0/16"} == set(group_by_network([f"10.0.{number}.1" for number in range(MOST_ROWS + 1)]).values())
    assert {"10.0.0.0/8"} == set(group_by_network([f"10.{number}.0.1" for number in range(MOST_ROWS + 1)]).values())

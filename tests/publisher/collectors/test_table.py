"""A row of the kernel's socket table is in one shape, whoever reads it."""

from __future__ import annotations

import pytest

from defender_publisher.collectors.table import LISTEN, SocketRow, Table, unmapped


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::ffff:a00:1", "::ffff:a00:1"),  # not as inet_ntop writes it
        ("10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::", "::"),
    ],
)
def test_ipv4_inside_ipv6_is_ipv4(address: str, expected: str) -> None:
    assert expected == unmapped(address)


def test_a_table_that_was_not_sampled_tells_of_no_number_and_a_row_of_no_interface() -> None:
    row = SocketRow(LISTEN, "0.0.0.0", 22, "0.0.0.0", 0)
    assert ("", None, frozenset()) == (row.bound_to, Table([row]).connections, Table([row]).local_ends)

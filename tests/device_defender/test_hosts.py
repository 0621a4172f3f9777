"""What can be a host is told from what cannot."""

from __future__ import annotations

import pytest

from device_defender.hosts import is_host


@pytest.mark.parametrize(
    "text",
    ["localhost", "broker.local", "a" * 63, "b\u00fccher.example", "10.0.0.1", "::1", "fe80::1%eth0", "example.com."],
)
def test_a_name_or_an_address_is_a_host(text: str) -> None:
    assert is_host(text)


@pytest.mark.parametrize(
    "text",
    ["", "*", "a" * 64, "a..b", "a.b/c", "user@host", "host:443", "a b", "https://a", "[::1]", "a\n", "x." * 128],
)
def test_what_can_be_no_host_is_none(text: str) -> None:
    assert not is_host(text)

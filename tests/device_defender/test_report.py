"""Every field of a report has two names; addresses and numbers are what agents and AWS take them for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest

from device_defender.report import SHORT_NAMES, Block, CustomValue, Malformed, Report, address_of, fits, is_address

CUSTOM = {"number", "number_list", "string_list", "ip_list"}


def structs(of: Any) -> Iterator[type[msgspec.Struct]]:
    """Yield every struct that a type is made of."""
    if isinstance(of, type) and issubclass(of, msgspec.Struct):
        yield of
        for each in msgspec.structs.fields(of):
            yield from structs(each.type)
    for each in get_args(of):
        yield from structs(each)


def test_every_field_has_a_short_name_and_no_two_the_same() -> None:
    names = {each for struct in structs(Report) for each in struct.__struct_fields__}
    assert names - CUSTOM == set(SHORT_NAMES)
    assert set(CustomValue.__struct_fields__) == CUSTOM
    assert len(set(SHORT_NAMES.values())) == len(SHORT_NAMES)


ADDRESSES = [
    ("192.0.2.1:443", "192.0.2.1"),
    ("[2001:db8::1]:443", "2001:db8::1"),
    ("::ffff:127.0.0.1:41632", "::ffff:127.0.0.1"),  # AWS's agent for Python, of a dual-stack socket
    ("[::ffff:127.0.0.1]:43794", "::ffff:127.0.0.1"),
    ("2001:db8::1:443", "2001:db8::1"),
    ("::1:8883", "::1"),
    ("fe80::1%eth0:22", "fe80::1%eth0"),
    ("[fe80::1%eth0.100]:22", "fe80::1%eth0.100"),
    ("192.0.2.1:0", "192.0.2.1"),
    ("192.0.2.1:65535", "192.0.2.1"),
    ("192.0.2.1:65536", None),
    ("192.0.2.1:", None),
    ("192.0.2.1", None),
    ("192.0.2.1:-1", None),
    ("192.0.2.1:+1", None),
    ("192.0.2.1:\uff11", None),
    ("192.0.2.256:1", None),
    pytest.param(
        "192.0.2.04:1",
        None,
        marks=pytest.mark.skipif(sys.version_info < (3, 9, 5), reason="this Python takes an octal number for one"),
    ),
    ("[192.0.2.1]:443", None),
    ("[::1]", None),
    ("[::1:22", None),
    ("::1]:22", None),
    ("2001:db8::g:443", None),
    ("example.com:443", None),
    (":443", None),
    (":", None),
    ("", None),
]


@pytest.mark.parametrize(("written", "address"), ADDRESSES)
def test_an_address_is_taken_as_agents_write_it(written: str, address: str | None) -> None:
    assert address == address_of(written)
    assert address is None or is_address(address)


@pytest.mark.parametrize(
    ("number", "is_right"),
    [(0, True), (10**15 - 1, True), (10**15, False), (-(10**15), False), (1e15, False), (1.23457e16, False),
     (999_999_999_999_999.5, True), (0.1 + 0.2, True), (1e-300, True), (float("nan"), False), (float("inf"), False),
     (10**400, False), (2**63, False)],
)  # fmt: skip
def test_a_custom_metrics_number_has_15_digits_before_its_point(number: float, is_right: bool) -> None:
    assert is_right == fits(number)


def test_a_malformed_report_is_a_sentence_of_where_and_what_rule_and_what_was_found() -> None:
    assert "header.version is missing" == str(Malformed("header.version", "is missing"))
    error = Malformed("met.tp.t", "must be a number of at least 0", "-1")
    assert "met.tp.t must be a number of at least 0, got -1" == str(error)
    assert ("met.tp.t", "must be a number of at least 0", "-1") == (error.path, error.rule, error.found)


def test_nothing_of_a_report_is_followed_by_the_garbage_collector() -> None:
    """There are many of them; and none can hold itself."""
    assert all(not struct.__struct_config__.gc for struct in structs(Report) if issubclass(struct, Block))

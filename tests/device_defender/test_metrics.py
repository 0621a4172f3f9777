"""The metrics that AWS documents, and the names that things and metrics may have."""

from __future__ import annotations

import re

import msgspec
import pytest

from device_defender.metrics import (
    BUILT_INS,
    CLOUD_SIDE,
    DEVICE_SIDE,
    NAME_PATTERN,
    SUMMED,
    TYPES,
    Name,
    is_custom_metric_name,
    is_name,
    is_thing_name,
)

NAMES = ["rpi-0001", "a", "A:b_c-9", "x" * 128]
OTHER_THINGS = ["a@b.example", "edge.gw.1", "Küche", "ü" * 64, "a b", '{"x":1}', "$x"]
NO_THINGS = ["", "x" * 129, "ü" * 65, "a\n", "a\x00b", "a\x1b[2J", "\x85", "a/b", "a+", "#", "\ud800", None, 7, b"a"]


@pytest.mark.parametrize("name", NAMES)
def test_what_the_api_makes_is_a_name_everywhere(name: str) -> None:
    assert is_name(name)
    assert is_thing_name(name)
    assert name == msgspec.convert(name, Name)


@pytest.mark.parametrize("name", OTHER_THINGS)
def test_a_thing_that_the_api_cannot_make_may_report_all_the_same(name: str) -> None:
    assert not is_name(name)
    assert is_thing_name(name)


@pytest.mark.parametrize("name", NO_THINGS)
def test_what_is_no_name_is_refused(name: object) -> None:
    assert not is_name(name)
    assert not is_thing_name(name)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(name, Name)


def test_a_newline_at_the_end_of_a_name_is_seen_by_the_pattern_too() -> None:
    assert re.search(NAME_PATTERN, "abc")
    assert not re.search(NAME_PATTERN, "abc\n")


def test_a_custom_metric_has_no_name_of_awss() -> None:
    assert is_custom_metric_name("cpu_usage")
    assert is_custom_metric_name("x:aws:y")
    assert not is_custom_metric_name("aws:cpu")
    assert not is_custom_metric_name("cpu usage")


def test_aws_has_ten_device_side_and_eight_cloud_side_metrics() -> None:
    assert (10, 8) == (len(DEVICE_SIDE), len(CLOUD_SIDE))
    assert {"count", "ports", "cidrs"} == {*DEVICE_SIDE.values(), *CLOUD_SIDE.values()}
    assert set(SUMMED) <= set(DEVICE_SIDE)
    assert not set(DEVICE_SIDE) & set(CLOUD_SIDE)


def test_every_built_in_is_a_custom_metric_of_a_documented_type() -> None:
    for name, built_in in BUILT_INS.items():
        assert is_custom_metric_name(name)
        assert built_in.type in TYPES
        assert built_in.description.endswith(".")

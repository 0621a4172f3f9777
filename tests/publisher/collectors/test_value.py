"""The digits of custom metrics' numbers."""

from __future__ import annotations

import pytest

from defender_publisher.collectors.value import limit_digits
from defender_publisher.errors import CollectError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (999_999_999_999_999, 999_999_999_999_999),
        (-999_999_999_999_999, -999_999_999_999_999),
        (0.1 + 0.2, 0.3),
        (1 / 3, 0.333333333333333),
        (123456789.123456789, 123456789.123457),
        (-2 / 3, -0.666666666666667),
        ([0.1 + 0.2, 7], [0.3, 7]),
        ([], []),
        (["sshd", "1234567890123456789"], ["sshd", "1234567890123456789"]),
    ],
)
def test_numbers_have_at_most_15_digits(value, expected):
    assert (expected, type(expected)) == (limit_digits(value), type(limit_digits(value)))


@pytest.mark.parametrize("value", [10**15, -(10**15), 10**400, [1, 10**15]])
def test_an_integer_is_never_rounded_into_another_one(value):
    with pytest.raises(CollectError, match="at most 15 digits"):
        limit_digits(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("-inf")]])
def test_what_is_not_finite_is_no_number(value):
    with pytest.raises(CollectError, match="must be finite"):
        limit_digits(value)

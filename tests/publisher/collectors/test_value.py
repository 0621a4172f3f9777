"""The values of custom metrics: of their type, with few enough digits, in text that UTF-8 can encode."""

from __future__ import annotations

import pytest

from defender_publisher.collectors.value import fit
from defender_publisher.errors import CollectError


@pytest.mark.parametrize(
    ("value", "metric_type", "expected"),
    [
        (0, "number", 0),
        (999_999_999_999_999, "number", 999_999_999_999_999),
        (-999_999_999_999_999, "number", -999_999_999_999_999),
        (0.1 + 0.2, "number", 0.3),
        (1 / 3, "number", 0.333333333333333),
        (123456789.123456789, "number", 123456789.123457),
        (-2 / 3, "number", -0.666666666666667),
        (1.5e-300, "number", 1.5e-300),
        (999999999999999.0, "number", 999999999999999.0),
        ([0.1 + 0.2, 7], "number-list", [0.3, 7]),
        ([], "number-list", []),
        (["sshd", "1234567890123456789"], "string-list", ["sshd", "1234567890123456789"]),
        (["caf\udce9", "half \ud83d", "whole 😀"], "string-list", ["caf\ufffd", "half \ufffd", "whole 😀"]),
        (["2001:DB8::1"], "ip-address-list", ["2001:db8::1"]),
    ],
)
def test_a_value_is_one_that_a_report_can_hold(value, metric_type, expected):
    found = fit(value, metric_type)
    assert (expected, type(expected)) == (found, type(found))


@pytest.mark.parametrize(
    "value", [10**15, -(10**15), 10**400, 1e15, 1.23457e16, -1e300, 999999999999999.9, [1, 10**15], [1e15]]
)
def test_a_number_with_more_than_15_digits_before_the_point_is_left_out_and_never_rounded(value):
    with pytest.raises(CollectError, match="at most 15 digits"):
        fit(value, "number-list" if isinstance(value, list) else "number")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("-inf")]])
def test_what_is_not_finite_is_no_number(value):
    with pytest.raises(CollectError, match="must be finite"):
        fit(value, "number-list" if isinstance(value, list) else "number")


@pytest.mark.parametrize(
    ("value", "metric_type", "complaint"),
    [
        ("1", "number", "numbers must be int or float, got str"),
        (True, "number", "got bool"),
        (None, "number", "got NoneType"),
        (1, "number-list", "the value must be a list, got int"),
        ([None], "number-list", "got NoneType"),
        ("sshd", "string-list", "the value must be a list, got str"),
        ([b"sshd"], "string-list", "strings must be str, got bytes"),
        (["localhost"], "ip-address-list", "addresses must be IPv4 or IPv6 ones, got 'localhost'"),
    ],
)
def test_what_is_not_of_the_metrics_type_is_said(value, metric_type, complaint):
    with pytest.raises(CollectError, match=complaint):
        fit(value, metric_type)

"""A security profile is what AWS takes, word for word: descriptions, tags and ranges of addresses."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from device_defender.profile import STATISTICS, Profile, Value, is_cidr
from device_defender.validation import find_problems


def problems_of(document: Any) -> list[str]:
    return find_problems(document, Profile)


@pytest.mark.parametrize("text", ["Was Gateways d\u00fcrfen", "a\tb", "ends\n", "x" * 1001, "\x7f"])
def test_a_description_is_of_ascii_in_one_line(text: str) -> None:
    (problem,) = problems_of({"securityProfileName": "p", "securityProfileDescription": text})
    rule = "securityProfileDescription must be at most 1000 characters of ASCII in one line, got "
    assert problem.startswith(rule)


@pytest.mark.parametrize("key", ["a!b?", "a\tb", "aws:team", "x" * 129, "a{b"])
def test_a_tags_key_is_of_letters_digits_blanks_and_a_few_signs(key: str) -> None:
    (problem,) = problems_of({"securityProfileName": "p", "tags": [{"Key": key}]})
    assert problem.startswith("tags[0].Key must be 1 to 128 letters, digits, blanks and _ . : / = + - @, not")


@pytest.mark.parametrize("key", ["team", "cost center", "K\u00fcche", "a_b.c:d/e=f+g-h@i", "\u00bd"])
def test_a_tags_key_is_of_any_script(key: str) -> None:
    assert [] == problems_of({"securityProfileName": "p", "tags": [{"Key": key}]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.0/8", True),
        ("10.1.2.3", True),
        ("2001:db8::/32", True),
        ("10.0.0.1/8", True),
        ("fe80::1%eth0", False),
        ("10.0.0.0/33", False),
        ("", False),
    ],
)
def test_a_range_of_addresses_is_of_either_family(text: str, expected: bool) -> None:
    assert expected == is_cidr(text)


def test_what_a_value_is_of_is_known_whatever_it_is() -> None:
    assert {"cidrs": []} == msgspec.convert({"cidrs": []}, Value).given
    assert {"count": 0, "strings": ["a"]} == msgspec.convert({"strings": ["a"], "count": 0}, Value).given


def test_a_percentile_is_one_that_aws_has() -> None:
    criteria = {"statisticalThreshold": {"statistic": "p95"}}
    (problem,) = problems_of({"securityProfileName": "p", "behaviors": [{"name": "b", "criteria": criteria}]})
    place = "behaviors[0].criteria.statisticalThreshold.statistic"
    assert f'{place} must be one of {", ".join(STATISTICS)}, got "p95"' == problem

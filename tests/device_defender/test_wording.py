"""Whatever is shown in a message is one short line of ASCII, and what was meant is found."""

from __future__ import annotations

import datetime
import math

import pytest

from device_defender.wording import did_you_mean, key_path, shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("K\u00fcche", '"K\\u00fcche"'),
        ("x" * 500, f'"{"x" * 60}...'),
        ([[]] * 3, "an array of 3"),
        ({"password": "s3cret"}, "an object"),
        (None, "null"),
        (True, "true"),
        (0.1, "0.1"),
        (math.nan, "NaN"),
        (int("9" * 1000), f"999{'9' * 57}..."),
        (b"\xff", "a byte string"),
        (datetime.date(2026, 1, 1), "a CBOR date"),
    ],
)
def test_a_value_is_shown_in_one_short_line_of_ascii(value: object, expected: str) -> None:
    assert expected == shown(value)


def test_a_number_with_more_digits_than_python_prints_is_shown() -> None:
    assert "0x" == shown(10**5000)[:2]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("metric", "behaviors.metric"),
        ("a:b_c-1", "behaviors.a:b_c-1"),
        ("a b", 'behaviors."a b"'),
        ("\x1b[2J\n", 'behaviors."\\u001b[2J\\n"'),
        ("", 'behaviors.""'),
        (3, "behaviors.3"),
    ],
)
def test_a_path_is_one_line_whatever_a_key_is(key: object, expected: str) -> None:
    assert expected == key_path("behaviors", key)


def test_the_path_of_the_document_is_not_named() -> None:
    assert "agent" == key_path("", "agent")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("Behaviours", '; did you mean "behaviors"?'),
        ("suppressalerts", '; did you mean "suppressAlerts"?'),
        ("sns", '; did you mean "SNS"?'),
        ("xyz", ""),
        (7, ""),
    ],
)
def test_what_was_meant_is_found_whatever_its_case(word: object, expected: str) -> None:
    assert expected == did_you_mean(word, ["behaviors", "suppressAlerts", "SNS"])

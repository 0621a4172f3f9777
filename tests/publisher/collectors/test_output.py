"""What a command prints, as a table: text and type, and the value or the complaint."""

from __future__ import annotations

import pytest

from defender_publisher.collectors.output import parse_output
from defender_publisher.errors import CollectError

NUMBERS, STRINGS, ADDRESSES = "number-list", "string-list", "ip-address-list"


@pytest.mark.parametrize(
    ("text", "metric_type", "expected"),
    [
        ("42", "number", 42),
        ("42\n", "number", 42),
        ("\n  42  \n\n", "number", 42),
        ("-1.5", "number", -1.5),
        ("+3", "number", 3),
        ("1e3", "number", 1000.0),
        (".5", "number", 0.5),
        ("5.", "number", 5.0),
        ("007", "number", 7),
        ("[42]", "number", 42),
        ("0", "number", 0),
        ("1\n2.5\n", NUMBERS, [1, 2.5]),
        ("[1, 2.5]", NUMBERS, [1, 2.5]),
        ("[\n  1,\n  2\n]\n", NUMBERS, [1, 2]),
        ("7", NUMBERS, [7]),
        ("", NUMBERS, []),
        ("[]", NUMBERS, []),
        ("sshd\ncron\n", STRINGS, ["sshd", "cron"]),
        ("sshd\r\n\r\ncron", STRINGS, ["sshd", "cron"]),
        ('["sshd", "cron"]', STRINGS, ["sshd", "cron"]),
        ("two words", STRINGS, ["two words"]),
        ("42", STRINGS, ["42"]),
        ("true", STRINGS, ["true"]),
        ("", STRINGS, []),
        (" \n", STRINGS, []),
        ("[]", STRINGS, []),
        ("10.0.0.1\n2001:DB8:0::1", ADDRESSES, ["10.0.0.1", "2001:db8::1"]),
        ('["10.0.0.1"]', ADDRESSES, ["10.0.0.1"]),
        ("fe80::1%eth0", ADDRESSES, ["fe80::1"]),
        ('"sshd"\n', STRINGS, ["sshd"]),  # as jq prints strings without its option -r
        ('"a \\"b\\""\n"\\u00e9"\n', STRINGS, ['a "b"', "é"]),
        ('"sshd"\ncron\n', STRINGS, ["sshd", "cron"]),
        ('"one" and "two"', STRINGS, ['"one" and "two"']),
        ('"', STRINGS, ['"']),
        ('""', STRINGS, [""]),
        ('"42"\n', "number", 42),
        ('"10.0.0.1"\n"10.0.0.2"\n', ADDRESSES, ["10.0.0.1", "10.0.0.2"]),
        ('"\\ud83d"\n["x"]', STRINGS, ["\ufffd", '["x"]']),
        ('["half \\ud83d of \\ud83d\\ude00"]', STRINGS, ["half \ufffd of 😀"]),
        ("one\u2028line\x85\n", STRINGS, ["one\u2028line"]),
        ("", ADDRESSES, []),
    ],
)
def test_a_text_is_json_or_one_value_a_line(text, metric_type, expected):
    value = parse_output(text, metric_type)
    assert (expected, type(expected)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "metric_type", "complaint"),
    [
        ("", "number", "exactly one number, printed nothing"),
        ("\n\n", "number", "exactly one number, printed nothing"),
        ("[]", "number", "exactly one number, printed nothing"),
        ("1\n2", "number", "exactly one number, printed 2"),
        ("[1, 2]", "number", "exactly one number, printed 2"),
        ("1 2", "number", 'printed "1 2"'),
        ("hot", "number", 'printed "hot"'),
        ("true", "number", 'printed "true"'),
        ("[true]", "number", "printed true"),
        ("null", "number", 'printed "null"'),
        ("nan", "number", 'printed "nan"'),
        ("NaN", "number", 'printed "NaN"'),
        ("[NaN]", "number", "printed NaN"),
        ("inf", "number", 'printed "inf"'),
        ("[-Infinity]", "number", "printed -Infinity"),
        ("1e999", "number", 'printed "1e999"'),
        ("[1e999]", "number", "printed Infinity"),
        ("9" * 5000, "number", 'printed "999'),
        ("1_000", "number", 'printed "1_000"'),
        ("0x10", "number", 'printed "0x10"'),
        ("١", "number", r"printed \"\\u0661"),
        ('{"number": 1}', "number", r'printed \{"number": 1\}'),
        ("1\nhot", NUMBERS, 'printed "hot"'),
        ("[1, null]", NUMBERS, "printed null"),
        ("[[1]]", NUMBERS, r"printed \[1\]"),
        ("[" * 60_000, NUMBERS, r'printed "\[\[\['),
        ('["a", 1]', STRINGS, "must print strings, printed 1"),
        ('{"a": 1}', STRINGS, 'must print strings, printed {"a": 1}'),
        ("10.0.0.256", ADDRESSES, 'must print IP addresses, printed "10.0.0.256"'),
        ("10.0.0.0/8", ADDRESSES, 'printed "10.0.0.0/8"'),
        ("[167772161]", ADDRESSES, "must print strings, printed 167772161"),
        ("localhost", ADDRESSES, 'printed "localhost"'),
    ],
)
def test_what_does_not_fit_the_type_is_named(text, metric_type, complaint):
    with pytest.raises(CollectError, match=complaint):
        parse_output(text, metric_type)


def test_a_long_value_is_named_in_short():
    with pytest.raises(CollectError) as caught:
        parse_output("x" * 10_000, "number")
    assert len(str(caught.value)) < 100

"""Lines become text whatever their bytes are, patterns choose among them, and some belong together."""

from __future__ import annotations

import re

import pytest

from defender_cloudwatch.lines import MATCHED_LENGTH, MOST_JOINED, Choice, as_text, join, lines_of


@pytest.mark.parametrize(
    ("line", "expected"),
    [(b"caf\xc3\xa9", "caf\xe9"), (b"caf\xe9", "caf\\xe9"), (b"a\0b", "a\\x00b"), (b"\xff\xfe", "\\xff\\xfe")],
)
def test_bytes_that_are_no_text_are_shown(line: bytes, expected: str) -> None:
    assert expected == as_text(line)


def test_include_and_exclude_choose() -> None:
    choice = Choice([re.compile("ERROR"), re.compile("WARN")], [re.compile("healthcheck")])
    assert [True, True, False, False] == [
        choice.takes(each) for each in ("ERROR a", "x WARN", "INFO", "ERROR healthcheck")
    ]
    assert Choice().takes("anything")


def test_a_pattern_sees_the_beginning_of_a_line_only() -> None:
    choice = Choice([re.compile("end$")])
    assert not choice.takes("x" * MATCHED_LENGTH + "end")


def test_a_stack_trace_is_one_event() -> None:
    lines = ["2026 start", "  at a", "  at b", "2026 next"]
    assert ["2026 start\n  at a\n  at b", "2026 next"] == list(join(lines, re.compile(r"^\d{4}")))


def test_lines_without_a_beginning_are_no_event_without_end() -> None:
    sizes = [each.count("\n") + 1 for each in join(["x"] * (MOST_JOINED * 2 + 1), re.compile("never"))]
    assert [MOST_JOINED, MOST_JOINED, 1] == sizes


def test_lines_have_no_ends_and_none_is_blank() -> None:
    assert ["one", "two", "caf\\xe9", "three "] == lines_of(b"one\r\n\n \t\r\ntwo\ncaf\xe9\nthree ")

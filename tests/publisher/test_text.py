"""What others say is shown in one line, whatever it does to a terminal."""

from __future__ import annotations

import pytest

from defender_publisher.text import printable, printable_lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Malformed metrics report", "Malformed metrics report"),
        ("Überlast, 過負荷", "Überlast, 過負荷"),
        ("\x1b[2J\x1b[31mFORGED\x07", r"\x1b[2J\x1b[31mFORGED\x07"),
        ("one\r\n2026-11-30 00:00:00 : INFO : two", r"one\r\n2026-11-30 00:00:00 : INFO : two"),
        ("abc\u202edef\u2028\x9b\ud800", r"abc\u202edef\u2028\x9b\ud800"),
    ],
)
def test_control_characters_are_escaped_and_letters_are_not(text: str, expected: str) -> None:
    assert expected == printable(text)


def test_what_is_too_long_is_cut_and_its_length_said() -> None:
    assert "aaaaa... (100000 characters)" == printable("a" * 100_000, 5)


def test_lines_of_our_own_stay_lines() -> None:
    assert "one\ntwo\\x1b[1m" == printable_lines("one\ntwo\x1b[1m")

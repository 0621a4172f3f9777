"""Text from outside that is not UTF-8 costs what cannot be read of it, and never a report, in whatever locale."""

from __future__ import annotations

import os

import pytest

from defender_daemon import text
from defender_daemon.text import printable, printable_lines
from tests.fakes import not_utf8
from tests.fakes.not_utf8 import CUT, CUT_SHOWN


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("größer 😀", "größer 😀"),
        ("caf\udce9", "caf\ufffd"),
        ("\ud83d", "\ufffd"),
        ("\udfff\ud800", "\ufffd\ufffd"),
    ],
)
def test_what_utf8_cannot_encode_becomes_a_mark(given: str, expected: str) -> None:
    assert expected == text.valid(given)
    expected.encode()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"sshd", "sshd"),
        (not_utf8.LATIN_1, "caf\ufffd"),
        (CUT, CUT_SHOWN),
        ("мониторы".encode(), "мониторы"),
    ],
)
def test_a_name_of_the_systems_is_read_as_far_as_it_can_be(raw: bytes, expected: str) -> None:
    assert expected == text.name_of(os.fsdecode(raw))


def test_a_name_that_no_system_can_have_given_is_read_all_the_same() -> None:
    assert "\ufffd" == text.name_of("\ud800")


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

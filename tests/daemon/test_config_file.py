"""A configuration file is read whole or refused whole, with the place of what is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from defender_publisher.settings import read_settings
from tests.publisher.test_settings import problems_of, write

TOO_LONG = "Exceeds the limit" if hasattr(sys, "get_int_max_str_digits") else "must be a whole number from 1 to"
NAMED = {"thing_name": "rpi-1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1, column 1: not JSON: Expecting value"),
        ('{"agent": {\n  "debug": tru\n}}', "line 2, column 12: not JSON: Expecting value"),
        ('{"agent": {},}', ": not JSON: "),
        ('{"agent": {"debug": NaN}}', "NaN is not JSON"),
        ('{"agent": {}, "agent": {}}', '"agent" is given twice in one object; keep one'),
        ("[" * 100_000, "nested too deeply"),
        ('{"agent": {"publish_interval": 1' + "0" * 5000 + "}}", TOO_LONG),
        ('{"agent": {"logfile": "/tmp/a\\u0000b"}}', "agent.logfile must be text without a NUL"),
        ('{"agent": {"topic": "a/\\ud800"}}', "agent.topic must be text without a NUL, and without half a surrogate"),
        ("[]", "the configuration must be an object, got an array of 0"),
    ],
)
def test_text_that_is_no_configuration_is_refused_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    (problem,) = problems_of(path)
    assert problem.startswith(f"{path}: ")
    assert expected in problem


def test_a_configuration_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b'{"agent": {"thing_name": "\xff"}}')
    assert "must be UTF-8 text" in problems_of(path)[0]


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"agent": NAMED}).encode())
    assert "rpi-1" == read_settings(path, {"agent": {"dry_run": True}}).thing_name


def test_a_missing_and_a_directory_for_a_file_are_refused(tmp_path: Path) -> None:
    assert "there is no such configuration file" in problems_of(tmp_path / "none.json")[0]
    assert "cannot be read: Is a directory" in problems_of(tmp_path)[0]


def test_a_path_of_a_user_that_there_is_not_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"agent": {**NAMED, "logfile": "~no-such-user/x.log"}}))
    assert ['the path "~no-such-user/x.log" begins with a user who does not exist; give the directory'] == [
        problem.partition(".json: ")[2] for problem in problems_of(path)
    ]

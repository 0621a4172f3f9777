"""Where the console and the API are: addresses, ports and proxies are checked before anything listens."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

pytest.importorskip("msgspec")

from defender_detect.served import Api, Console, is_origin, is_path
from device_defender.validation import find_problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://detect.example.com", True),
        ("http://detect.example.com:8080/", True),
        ("https://detect.example.com/pages", False),
        ("https://me@detect.example.com", False),
        ("detect.example.com", False),
        ("ftp://detect.example.com", False),
        ("https://d\u00e9tect.example.com", False),
        ("https://", False),
    ],
)
def test_an_origin_is_an_address_of_the_web_without_a_path(text: str, expected: bool) -> None:
    assert expected == is_origin(text)


@pytest.mark.parametrize(
    ("text", "expected"), [("a", True), ("~/a", True), ("a\0b", False), ("~no-such-user/a", False)]
)
def test_a_path_has_no_null_and_no_unknown_user(text: str, expected: bool) -> None:
    assert expected == is_path(text)


@pytest.mark.parametrize(
    ("definition", "raw", "problem"),
    [
        (Api, {}, "port is missing; it must be a whole number from 0 to 65535"),
        (Console, {"address": "a..b"}, 'address must be a host name or an address, got "a..b"'),
        (Console, {"keys": "k"}, "keys is not a known key"),
        (Console, {"silent_after": 0}, "silent_after must be a number from 1 to 31536000, got 0"),
        (Api, {"port": 0, "names": ["a..b"]}, 'names[0] must be a host name or an address, got "a..b"'),
    ],
)
def test_what_is_wrong_is_said(definition: type[msgspec.Struct], raw: Any, problem: str) -> None:
    (found,) = find_problems(raw, definition)
    assert found.startswith(problem)


def test_nobody_but_this_machine_is_served_unless_it_is_said() -> None:
    assert ("127.0.0.1", 8790) == (Console().address, Console().port)
    assert "127.0.0.1" == Api(port=0).address

"""A token is the place behind which the next page begins; what was made up is refused before a database is asked."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from defender_detect.api.faults import Fault
from defender_detect.api.paging import key_of, page_of, token_of


def token(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize("key", [(1.5, "id-1"), (0, ""), (-62135596800.0, "\u00fc/?&="), (2**62, "x" * 1000)])
def test_a_token_gives_the_key_back_that_it_was_made_of(key: tuple[Any, ...]) -> None:
    assert key == key_of(token_of(*key), (float, str))
    assert set(token_of(*key)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=")


def test_without_a_token_there_is_no_key() -> None:
    assert None is key_of(None, (str,))


@pytest.mark.parametrize(
    "made_up",
    [
        *("", "x", "\u00e9", "%%%", "A" * 9999),
        *map(token, ("", "{}", "7", "null", "[]", '["x"]', '[1, "x", 2]', '["x", 1]', '[null, "x"]', "[1, null]")),
        token("[" * 9000),
        *map(token, ('[NaN, "x"]', '[Infinity, "x"]', '[-1e300, "x"]', f'[{2**63}, "x"]', '[1, "\\ud800"]')),
    ],
)
def test_a_token_that_is_not_of_an_answer_is_refused(made_up: str) -> None:
    """A whole number that SQLite has no room for, or half a surrogate pair, was an internal failure."""
    with pytest.raises(Fault, match="nextToken must be the one of an answer before") as refused:
        key_of(made_up, (float, str))
    assert 400 == refused.value.status


@pytest.mark.parametrize(
    ("number", "is_taken"), [(7, True), (0, True), (2**63 - 1, True), (2**63, False), (7.5, False)]
)
def test_the_number_of_an_event_is_a_whole_one_that_a_database_has_room_for(number: float, is_taken: bool) -> None:
    if is_taken:
        assert (1.0, number) == key_of(token_of(1.0, number), (float, int))
        return
    with pytest.raises(Fault):
        key_of(token_of(1.0, number), (float, int))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 250])
def test_pages_neither_repeat_nor_leave_out_a_name(size: int) -> None:
    items = [(f"n{number}",) for number in range(5)]
    found, next_token, pages = [], None, 0
    while pages == 0 or next_token is not None:
        page, next_token = page_of(items, next_token, size)
        found += page
        pages += 1
    assert (items, -(-5 // size)) == (found, pages)


def test_a_page_begins_behind_a_name_that_was_deleted_meanwhile() -> None:
    _, behind_b = page_of([("a",), ("b",), ("c",)], None, 2)
    assert ([("c",)], None) == page_of([("a",), ("c",)], behind_b, 2)
    assert ([("b2",), ("c",)], None) == page_of([("b2",), ("c",)], behind_b, 2)
    assert ([], None) == page_of([("a",)], behind_b, 2)
    assert ([], None) == page_of([], None, 1)


def test_a_token_is_json_of_one_name() -> None:
    assert ["b"] == json.loads(base64.urlsafe_b64decode(page_of([("a",), ("b",), ("c",)], None, 2)[1] or ""))

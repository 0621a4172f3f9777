"""Pages: a token says behind what the next page begins, so that nothing is left out or repeated while Detect writes."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from defender_daemon.text import SURROGATE
from defender_detect.api.faults import invalid

Key = tuple[Any, ...]
LARGEST = 2**63  # SQLite's whole numbers are below it; NaN is not


def token_of(*key: Any) -> str:
    """Return the token of the page that begins behind a key."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def key_of(token: str | None, kinds: tuple[type, ...]) -> Key | None:
    """Return the key that a token stands for, None without one; raise a Fault for a token that is not ours."""
    if token is None:
        return None
    try:
        key = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, binascii.Error, RecursionError):
        key = None
    if not isinstance(key, list) or len(key) != len(kinds) or not all(map(is_a, key, kinds)):
        raise invalid("nextToken must be the one of an answer before")
    return tuple(key)


def is_a(value: object, kind: type) -> bool:
    """Whether a part of a key has its type, and a database has room for it; a whole number is a time, too."""
    if isinstance(value, str):
        return kind is str and SURROGATE.search(value) is None
    numbers = (int, float) if kind is float else (kind,)
    return isinstance(value, numbers) and isinstance(value, (int, float)) and abs(value) < LARGEST


def page_of(items: list[Any], token: str | None, size: int) -> tuple[list[Any], str | None]:
    """Return a page of names that stand in one order, each with its own key, and the token of the next one."""
    key = key_of(token, (str,))
    rest = [each for each in items if key is None or each[0] > key[0]]
    page = rest[:size]
    return page, token_of(page[-1][0]) if len(rest) > size else None

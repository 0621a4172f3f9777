"""The words of messages about a document: where, what was found, what may have been meant, and what is right.

`device_defender.validation` makes its sentences of these, and others may make their own. Whatever is shown is one line
of ASCII, however long and odd the value is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

SHOWN_LENGTH = 60  # characters of a wrong value that a message repeats
PLAIN_KEY = re.compile(r"[A-Za-z0-9_$:-]{1,128}")


def nearest(word: object, known: Iterable[str]) -> str | None:
    """Return the known word that is most like another, whatever their case, or None."""
    import difflib  # here: what is right does without it

    words = {each.lower(): each for each in known}
    near = difflib.get_close_matches(word.lower(), words, n=1) if isinstance(word, str) else []
    return words[near[0]] if near else None


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return `; did you mean "x"?` for the known word nearest to `word`, or nothing."""
    near = nearest(word, known)
    return f'; did you mean "{near}"?' if near is not None else ""


def shown(value: object) -> str:
    """Show a wrong value in a message: in ASCII, in one line, and short whatever it is."""
    if isinstance(value, str):
        text = json.dumps(value[:SHOWN_LENGTH])
        return text if len(value) <= SHOWN_LENGTH else f"{text[:-1]}..."
    if value is None or isinstance(value, (bool, float)):
        return json.dumps(value)
    if isinstance(value, int):
        text = str(value) if value.bit_length() < 10_000 else hex(value)  # str() refuses thousands of digits
        return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}..."
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (list, tuple)):
        return f"an array of {len(value)}"
    return "a byte string" if isinstance(value, bytes) else f"a CBOR {type(value).__name__}"


def key_path(path: str, key: object) -> str:
    """Return the dotted path of `key` below `path`."""
    name = key if isinstance(key, str) and PLAIN_KEY.fullmatch(key) else shown(key)
    return f"{path}.{name}" if path else name

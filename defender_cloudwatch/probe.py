"""A probe: whether a regular expression takes for ever on some line, found out before it runs in the daemon.

Python's matcher tries every way to split a line among repetitions that lie in each other, as in `(a+)+$`, which nothing
can end in a thread. So each pattern is tried at the start on the lines that it may be worst at: parts of what it
matches, repeated, with an end that does not match.
"""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Iterable, Iterator
from typing import Any

try:
    from re import _parser as parser  # type: ignore[attr-defined]
except ImportError:  # before Python 3.11
    import sre_parse as parser

LONGEST = 1.0  # seconds of CPU for one pattern; usual ones take some microseconds a line
END = "\x01"  # what hardly any pattern ends with
MANY = 10  # times; what may be repeated more often is a repetition
MOST_PREFIXES = 20  # parts of a pattern that are tried
REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
CATEGORIES = {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " ", "CATEGORY_NOT_WORD": " "}
USUAL = "a1 -_.:/=,;"  # characters to choose from for a set of what is not matched


def worst_line(pattern: re.Pattern[str], length: int) -> str | None:
    """Return the beginning of a line of so many characters on which a pattern takes for ever, None where there is none.

    Only the main thread can find out, because only there a signal ends a match.
    """
    if threading.current_thread() is not threading.main_thread():
        return None
    for part in dict.fromkeys(parts(pattern.pattern)):
        line = (part * (length // len(part)))[: length - 1] + END
        if _takes_too_long(pattern, line):
            return line
    return None


def parts(pattern: str) -> Iterator[str]:
    """Yield texts of which a line may consist that a pattern takes long for."""
    tree = list(parser.parse(pattern))
    for count in range(1, min(len(tree), MOST_PREFIXES) + 1):
        yield _sample(tree[:count]) or "a"
    yield from filter(None, _repeated(tree))


def _repeated(items: Iterable[Any]) -> Iterator[str]:
    """Yield what is repeated in a pattern, however deep."""
    for operation, value in items:
        name = str(operation)
        if name in REPEATS and value[1] >= MANY:
            yield _sample(value[2])
        for inner in _inner(name, value):
            yield from _repeated(inner)


def _inner(name: str, value: Any) -> Iterator[Any]:
    if name in REPEATS:
        yield value[2]
    elif name == "BRANCH":
        yield from value[1]
    elif name in ("SUBPATTERN", "ASSERT", "ASSERT_NOT"):
        yield value[-1]
    elif name == "ATOMIC_GROUP":
        yield value


def _sample(items: Iterable[Any]) -> str:
    """Return a text that a part of a pattern matches, more or less."""
    return "".join(_sample_of(str(operation), value) for operation, value in items)


def _sample_of(name: str, value: Any) -> str:
    if name == "LITERAL":
        return chr(int(value))
    if name == "NOT_LITERAL":
        return next(each for each in USUAL if ord(each) != int(value))
    if name == "ANY":
        return "a"
    if name == "IN":
        return _member(value)
    if name in REPEATS:
        return _sample(value[2]) * max(1, min(int(value[0]), MANY))
    return "".join(_sample(each) for each in list(_inner(name, value))[:1]) if not name.startswith("ASSERT") else ""


def _member(choices: Any) -> str:
    """Return a character of a set."""
    kinds = [(str(operation), value) for operation, value in choices]
    if kinds[0][0] == "NEGATE":
        return next((each for each in USUAL if not any(_has(kind, each) for kind in kinds[1:])), "\u20ac")
    name, value = kinds[0]
    if name == "CATEGORY":
        return CATEGORIES.get(str(value), "a")
    return chr(value[0] if name == "RANGE" else value)


def _has(kind: tuple[str, Any], character: str) -> bool:
    name, value = kind
    if name == "CATEGORY":
        return CATEGORIES.get(str(value), "a") == character
    return value[0] <= ord(character) <= value[1] if name == "RANGE" else bool(ord(character) == value)


def _takes_too_long(pattern: re.Pattern[str], line: str) -> bool:
    with contextlib.suppress(_OverdueError), _limited(LONGEST):
        pattern.search(line)
        return False
    return True


class _OverdueError(Exception):
    """The time is over."""


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise _OverdueError in what runs for more CPU time than that."""

    def end(number: int, frame: object) -> None:
        raise _OverdueError

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)

"""Text from outside: what programs, interfaces and users are called is theirs to choose, and need not be UTF-8.

Python carries a byte that is no text as half a surrogate pair (PEP 383), and JSON can spell one. No report, state or
status can be encoded with it, so every such text passes here first. What a broker, a proxy or another user wrote is
made fit here for a terminal and a line of a log, too.
"""

from __future__ import annotations

import io
import os
import re
from typing import TextIO

MARK = "\N{REPLACEMENT CHARACTER}"  # what the Unicode standard puts in the place of what cannot be read
SURROGATE = re.compile("[\ud800-\udfff]")
LONGEST = 300  # characters; whoever says more has nothing to say to an operator


def valid(text: str) -> str:
    """Return a text as it is, but with a mark for each half of a surrogate pair, which UTF-8 cannot encode."""
    return SURROGATE.sub(MARK, text)


def print_all(stream: TextIO | None) -> None:
    """Let a stream print what its encoding does not have, escaped: no answer is worth less than a letter of it."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def name_of(given: str) -> str:
    """Return a name that Python has from the system, read as UTF-8 whatever the locale is, with marks for the rest."""
    if given.isascii():
        return given
    try:
        return os.fsencode(given).decode(errors="replace")
    except UnicodeEncodeError:  # not from the system after all
        return valid(given)


def printable(text: str, longest: int = LONGEST) -> str:
    r"""Return the text with every character escaped that is not to be seen (\n, \x1b, \u202e), and cut to a length."""
    cut = text[:longest]
    shown = cut if cut.isprintable() else "".join(map(_escaped, cut))
    return shown if len(text) <= longest else f"{shown}... ({len(text)} characters)"


def printable_lines(text: str) -> str:
    """Return text of several lines of our own in which every line is printable, however long it is."""
    return "\n".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in text.split("\n"))


def quoted(text: str) -> str:
    """Return a text as one word of a command that an operator is to run."""
    import shlex  # here, because a daemon without problems does without

    return shlex.quote(text)


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")

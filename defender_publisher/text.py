"""Text from outside: what a broker, a proxy or another user wrote, made fit for a terminal and a line of a log."""

from __future__ import annotations

LONGEST = 300  # characters; whoever says more has nothing to say to an operator


def printable(text: str, longest: int = LONGEST) -> str:
    r"""Return the text with every character escaped that is not to be seen (\n, \x1b, \u202e), and cut to a length."""
    cut = text[:longest]
    shown = cut if cut.isprintable() else "".join(map(_escaped, cut))
    return shown if len(text) <= longest else f"{shown}... ({len(text)} characters)"


def printable_lines(text: str) -> str:
    """Return text of several lines of our own in which every line is printable, however long it is."""
    return "\n".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in text.split("\n"))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")

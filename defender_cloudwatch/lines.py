"""Lines: what becomes of the bytes of a log: text, patterns that choose, and lines that belong together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

MATCHED_LENGTH = 1_000  # characters of a line that patterns see: Python's have no limit of time, only of what they get
MOST_JOINED = 1_000  # lines of one event

Pattern = re.Pattern[str]


class Choice(NamedTuple):
    """Which lines are sent: those that match one of `include` (all, if there is none) and none of `exclude`."""

    include: Sequence[Pattern] = ()
    exclude: Sequence[Pattern] = ()

    @property
    def takes_all(self) -> bool:
        """Whether there is nothing to choose by."""
        return not self.include and not self.exclude

    def takes(self, text: str) -> bool:
        """Tell whether a line, or several that belong together, is sent."""
        seen = text[:MATCHED_LENGTH]
        wanted = not self.include or any(each.search(seen) for each in self.include)
        return wanted and not any(each.search(seen) for each in self.exclude)


def as_text(data: bytes) -> str:
    """Return the text of one or more lines; bytes that are not UTF-8 become escapes such as \\xe9, NUL \\x00."""
    return data.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def lines_of(data: bytes) -> list[str]:
    """Return the lines of a part of a log, without their ends; blank ones are none."""
    text = as_text(data)
    lines = text.split("\n")
    if "\r" in text:
        lines = [line.rstrip("\r") for line in lines]
    return [line for line in lines if line and not line.isspace()]


def join(lines: Iterable[str], start: Pattern) -> Iterator[str]:
    """Yield events: each begins with a line that matches `start`."""
    event: list[str] = []
    for line in lines:
        if event and (len(event) >= MOST_JOINED or start.search(line[:MATCHED_LENGTH])):
            yield "\n".join(event)
            event = []
        event.append(line)
    if event:
        yield "\n".join(event)

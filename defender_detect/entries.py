"""A value of a JSON document and its place, for checks that gather all problems instead of raising the first."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from device_defender.wording import shown as describe

SHOWN_KEYS = 10  # of the known ones, where none is like the unknown one
Check = Callable[["Entry"], None]


class Entry:
    """A value of the profile, its place, and the problems that the whole profile has."""

    def __init__(self, value: Any, path: str, problems: list[str]) -> None:
        self.value, self.path, self.problems = value, path, problems

    def expect(self, is_right: bool, rule: str) -> bool:
        """Put down what the value must be if it is not; return whether it is."""
        if not is_right:
            self.problems.append(f"{self.path or 'the document'} must {rule}, got {describe(self.value)}")
        return is_right

    def complain(self, sentence: str) -> None:
        """Put down a problem of another form."""
        self.problems.append(f"{self.path or 'the document'} {sentence}")

    def key(self, name: str) -> Entry:
        """Return a value of the object here."""
        return Entry(self.value[name], f"{self.path}.{name}" if self.path else name, self.problems)

    def items(self) -> list[Entry]:
        """Return the items of the list here; a value that is none has no items and a problem."""
        if not self.expect(isinstance(self.value, list), "be an array"):
            return []
        return [Entry(item, f"{self.path}[{index}]", self.problems) for index, item in enumerate(self.value)]

    def check_object(self, checks: Mapping[str, Check], required: Iterable[str] = ()) -> bool:
        """Check an object's keys and their values; return whether it is an object."""
        if not self.expect(isinstance(self.value, dict), "be an object"):
            return False
        for name in self.value:
            if name in checks:
                checks[name](self.key(name))
            else:
                self.complain(f"has no key {describe(name)}{suggest(name, checks)}")
        for name in required:
            if name not in self.value:
                self.problems.append(f"{self.path}.{name} is missing" if self.path else f"{name} is missing")
        return True


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: the one that was meant, or what there is."""
    close = difflib.get_close_matches(name, known, 1)
    if close:
        return f': did you mean "{close[0]}"?'
    names = sorted(known)
    return f": there is {', '.join(names)}" if len(names) <= SHOWN_KEYS else ""


def check_boolean(entry: Entry) -> None:
    """Require true or false."""
    entry.expect(isinstance(entry.value, bool), "be true or false")


def check_text(shortest: int, longest: int) -> Check:
    """Return the check for a string of this many characters."""

    def check(entry: Entry) -> None:
        is_right = isinstance(entry.value, str) and shortest <= len(entry.value) <= longest
        entry.expect(is_right, f"be a string of {shortest} to {longest} characters")

    return check


def check_each(check: Check) -> Check:
    """Return the check for a list whose items all pass this check."""

    def check_items(entry: Entry) -> None:
        for item in entry.items():
            check(item)

    return check_items

"""The pass phrase of the authority's key: from a file, or from a person at a terminal."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from defender_detect.authority.directory import read
from defender_detect.errors import AuthorityError


def is_terminal() -> bool:
    """Tell whether there is somebody to ask."""
    return sys.stdin is not None and sys.stdin.isatty()


@dataclass(frozen=True)
class Passphrase:
    """Where the pass phrase comes from, if there is one; `wanted` asks for one where a new key is made."""

    file: Path | None = None
    wanted: bool = False
    ask: Callable[[str], str] = getpass.getpass
    can_ask: Callable[[], bool] = is_terminal

    def for_new_key(self) -> bytes | None:
        """Return the pass phrase of a key that is made; None for a key without."""
        if self.file is not None:
            return self._read(self.file)
        if not self.wanted:
            return None
        first = self._ask("pass phrase for the authority's key: ")
        if self._ask("the same again: ") != first:
            raise AuthorityError("the two pass phrases differ; run this again")
        return first

    def for_key(self, path: Path) -> bytes:
        """Return the pass phrase of a key that is there and has one."""
        return self._read(self.file) if self.file is not None else self._ask(f"pass phrase of {path}: ")

    def _ask(self, prompt: str) -> bytes:
        if not self.can_ask():
            raise AuthorityError("there is no terminal to type the pass phrase at: give it by --passphrase-file FILE")
        typed = self.ask(prompt)
        if not typed:
            raise AuthorityError("the pass phrase must not be empty")
        return typed.encode()

    def _read(self, file: Path) -> bytes:
        content = read(file)
        if content is None:
            raise AuthorityError(f"there is no {file}, where --passphrase-file says that the pass phrase is")
        first = content.decode("utf-8-sig", errors="surrogateescape").partition("\n")[0].rstrip("\r")
        if not first:
            raise AuthorityError(f"{file} must hold the pass phrase in its first line, which is empty")
        return first.encode("utf-8", errors="surrogateescape")

"""Interruptions: what a kill before any of a program's accesses to files leaves behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ACCESSES = ("open", "os.mkdir", "os.rename", "os.remove", "os.chmod", "os.rmdir")  # audit events, as Python names them


class Killed(BaseException):
    """No program can handle it, as it cannot handle SIGKILL."""


class Killer:
    """Ends what runs in `until` before its nth access to a file below a directory; there is one per process."""

    def __init__(self) -> None:
        self._directory = ""
        self._left: int | None = None
        sys.addaudithook(self._hear)  # cannot be removed again, and so is idle outside `until`

    def until(self, directory: Path, access: int, run: Callable[[], object]) -> bool:
        """Run something, and tell whether it was killed; False means that it has fewer accesses than that."""
        self._directory, self._left = str(directory), access
        try:
            run()
        except Killed:
            return True
        finally:
            self._left = None
        return False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._left is None or event not in ACCESSES or not isinstance(arguments[0], (str, os.PathLike)):
            return
        if os.fspath(arguments[0]).startswith(self._directory):
            self._left -= 1
            if self._left == 0:
                raise Killed

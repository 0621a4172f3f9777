"""A world whose bytes are not UTF-8: locales, and names of files, interfaces and programs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

LATIN_1 = b"caf\xe9"  # "café" as an editor of 1995 saved it
CUT = "мониторы".encode()[:15]  # the kernel keeps 15 bytes of a process's name, here up to the middle of a letter
CUT_SHOWN = "монитор\N{REPLACEMENT CHARACTER}"

# What Python makes of text where it comes and goes: `C` alone makes it choose UTF-8 (PEP 538, PEP 540).
LOCALES = {
    "C": {"LC_ALL": "C"},
    "ASCII": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "Latin-1 terminal": {"LC_ALL": "C", "PYTHONIOENCODING": "latin-1:strict"},
    "UTF-8": {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"},
}


def environment(locale: str) -> dict[str, str]:
    """Return the environment of a program that is started in one of the `LOCALES`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    return {**kept, **LOCALES[locale]}


def make_directory(below: Path) -> Path:
    """Make a directory whose name is not UTF-8; skips the test where the file system takes UTF-8 only, as macOS's."""
    path = Path(os.fsdecode(os.fsencode(below) + b"/" + LATIN_1))
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"this file system takes no such name: {error}")
    return path

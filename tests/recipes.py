"""The recipes of CONTRIBUTING.md, as the tests walk them: their code, in a checkout of its own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def code_of(recipe: str) -> list[str]:
    """Return the code of a recipe, block by block."""
    section = (ROOT / "CONTRIBUTING.md").read_text().partition(f"\n## {recipe}\n")[2].partition("\n## ")[0]
    return re.findall(r"```(?:python)?\n(.*?)```", section, re.DOTALL)


def copy_checkout(directory: Path, *names: str) -> Path:
    """Copy packages and scripts of this checkout; return where they are."""
    directory.mkdir()
    for name in (*names, "defender_start.py"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, directory / name)
    return directory


def insert(path: Path, before: str, row: str) -> None:
    """Write a row before the one place in a file that begins so."""
    text = path.read_text()
    assert 1 == text.count(before), f"{before!r} is there {text.count(before)} times in {path.name}"
    path.write_text(text.replace(before, row + before))

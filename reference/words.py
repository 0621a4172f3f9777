"""The words that people read: README, docs, messages, help, shell scripts and the names of tests.

`python -m reference.words` prints each place that has one of the words below, with what to write instead, and ends with
status 1 if there is any. `make lint` runs it. Docstrings and comments are for developers, and left alone.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
READ = (  # what is tracked and read by people, as git's patterns
    "*.md",
    "*.py",
    "*.bash",
    "*.sh",
    "*.service",
    "amazon-defender-*",
)
PROGRAMS = (
    "demo",
    "device_defender",
    "defender_",
    "infrastructure",
    "installers",
    "release",
    "amazon-defender-",
    "deploy.py",
)
WORDS: tuple[tuple[str, str], ...] = (  # a regular expression, and what to write instead
    (r"can not\b", "cannot"),
    (r"as is wished", "up to date"),
    (r"\bmails? alarms", "email alarms"),
    (r"makes an (?:AWS )?account", "provisions an account"),
    (r"\bbrought back\b", "restored, rolled back"),
    (r"\bmade anew\b|\bconnecting anew\b", "recreated, reconnecting"),
    (r"\bhow it does\b|\bhow the daemon does\b", "its health"),
    (r"\bmore than some (?:thousand|hundred)\b", "more than a few thousand"),
    (r"\brungs?\b", "check"),
    (r"\bcured?\b", "recovery, repaired"),
    (r"\bvoid\b", "invalidated"),
    (r"\bmend(?:s|ed|ing)?\b", "repair, fix"),
    (r"\bis told (?:when|of|that)\b", "say who hears what"),
    (r"\bgoes on with\b", "continues with"),
    (r"\bhelps others to help\b", "diagnostics for a support request"),
)


class Finding(NamedTuple):
    """A place that has one of the words."""

    path: str
    line: int
    found: str
    better: str

    def __str__(self) -> str:
        return f'{self.path}:{self.line}: "{self.found}": write {self.better}'


def main() -> int:
    """Print the findings; return 1 if there is any."""
    findings = [finding for path in tracked() for finding in look_at(path)]
    print(*findings, sep="\n", end="\n" if findings else "")
    return int(bool(findings))


def tracked() -> list[Path]:
    """Return the files that people read."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard", "--", *READ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in sorted(set(listed.stdout.split("\0"))) if name and (ROOT / name).is_file()]


def look_at(path: Path) -> Iterator[Finding]:
    """Yield what is found in a file, by what it is."""
    name = str(path.relative_to(ROOT))
    text = path.read_text(encoding="utf-8", errors="replace")
    if name == "reference/words.py" or name.startswith("benchmarks/results"):
        return
    is_python = path.suffix == ".py" or text.startswith("#!/usr/bin/env python3")
    if not is_python:
        yield from find(name, enumerate(text.splitlines(), 1))
    elif name.startswith("tests/"):
        yield from find(name, names_of_tests(ast.parse(text)))
    elif name.startswith(PROGRAMS):
        yield from find(name, messages(ast.parse(text)))


def find(path: str, lines: Iterator[tuple[int, str]]) -> Iterator[Finding]:
    """Yield the words that numbered lines have."""
    for number, line in lines:
        for word, better in WORDS:
            match = re.search(word, line, re.IGNORECASE)
            if match:
                yield Finding(path, number, match[0], better)


def names_of_tests(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the words of each test's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.lineno, node.name.replace("_", " ")


def messages(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each string with a space in it that is not a docstring."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            for number, line in enumerate(node.value.splitlines()):
                if " " in line:
                    yield node.lineno + number, line


if __name__ == "__main__":
    sys.exit(main())

"""Lines are counted by what they are, and the modules that are counted are there."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from reference.lines import GROUPS, count, main

ROOT = Path(__file__).resolve().parent.parent
SOURCE = '''"""A module."""

import os  # which is code

LIMITS = {
    "a": 1,  # and so is this

}


class Document:
    """A docstring is none,

    of however many lines."""

    key: str = """text
    that is a value"""
    """Nor is what a key does."""


@cache
def check(document):
    # a comment
    """A docstring."""
    return document
'''


def test_lines_are_counted_by_what_they_are() -> None:
    expected = Counter(lines=25, code=10, imports=1, definitions=7, functions=2)
    assert expected == count(SOURCE)


def test_every_module_that_is_counted_now_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    main(ROOT)
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert "device_defender/validation.py" in listed
    gone, ours, later = (names.split() for names in GROUPS.values())
    there = [name for name in (*gone, *ours, *later) if f"{name}.py" in listed]
    assert [*ours, *later[1:]] == there

"""The list of a fleet: the names of its things, one a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from device_defender.metrics import is_name
from infrastructure.errors import DeployError

LONGEST_NAME = 128  # of a thing, and of an MQTT client id, which the thing's name is
_COMMENT = re.compile(r"(^|\s)#.*")
_SHOWN = 40  # characters of a name that is too long to be shown whole


def read_things(path: Path, may_be_empty: bool = False) -> tuple[str, ...]:
    """Return the names in the order of the file; raise DeployError with everything that is wrong with them.

    Blank lines and what follows a `#` at the beginning of a line or after a space are skipped.
    """
    names = dict(_number_names(_read_text(path)))
    if problems := _find_problems(names):
        raise DeployError("\n".join(f"{path} line {line}: {problem}" for line, problem in problems))
    if not names and not may_be_empty:
        raise DeployError(f"{path} names no thing: write one name per line, rpi-0001 for instance")
    return tuple(names.values())


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # editors on Windows begin a file with a byte order mark
    except FileNotFoundError as error:
        raise DeployError(
            f"there is no {path}: write one thing name per line into it, or name another file with --things"
        ) from error
    except OSError as error:
        raise DeployError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DeployError(f"{path} line {line}: must be text in UTF-8") from error


def _number_names(text: str) -> Iterable[tuple[int, str]]:
    for line, content in enumerate(text.split("\n"), start=1):
        if name := _COMMENT.sub("", content).strip():
            yield line, name


def _find_problems(names: dict[int, str]) -> Iterable[tuple[int, str]]:
    first_lines: dict[str, int] = {}
    problems = []
    for line, name in names.items():
        first = first_lines.setdefault(name.lower(), line)
        problem = _find_problem(name) or (first != line and _compare_names(name, names[first], first))
        if problem:
            problems.append((line, problem))
    return problems


def _find_problem(name: str) -> str | None:
    shown = json.dumps(name if len(name) <= LONGEST_NAME else f"{name[:_SHOWN]}...", ensure_ascii=False)
    if is_name(name):
        return None
    if len(name) > LONGEST_NAME:
        return f"{shown} has {len(name)} characters, and may have {LONGEST_NAME}"
    return f"{shown} has characters other than a-z A-Z 0-9 : _ -"


def _compare_names(name: str, other: str, line: int) -> str:
    if name == other:
        return f"{json.dumps(name)} is on line {line}, too"
    return (
        f"{json.dumps(name)} differs from {json.dumps(other)} on line {line} only in case, "
        "and the file systems of Macs cannot keep the files of both apart"
    )

"""Detect's directory, made by `amazon-defender-detect init`: what a service needs of it, and who can read it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from configuration import parse, section
from files import read_file

KEY, AUTHORITY = "detect.key", "authority"
AUTHORITY_KEY = f"{AUTHORITY}/authority.key"
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - what the unit's sandbox hides
SHARDS = re.compile(r"\{shard:([1-9][0-9]{0,3})\}")  # in agent.topic; the program itself checks the number


class Directory:
    """A directory with the configuration of a product, its certificate and an authority."""

    def __init__(self, path: Path, product: str, prefix: Path = Path("/")) -> None:
        self.path = path
        self.seen = Path("/", *path.parts[len(prefix.parts) :]) if path.is_relative_to(prefix) else path
        self.file = path / f"{product}.json"
        self.key = path / KEY

    def config(self) -> dict[str, Any]:
        """Return the configuration; raises Problem for one that is none."""
        return parse(read_file(self.file), str(self.file))

    def shards(self) -> int:
        """Return how many shards the topic of the configuration has, 0 for none."""
        found = SHARDS.search(str(section(self.config(), "agent").get("topic") or ""))
        return int(found[1]) if found else 0

    def missing(self) -> str:
        """Return what shows that nobody has made the directory yet, empty if it was made."""
        lost = [each.name for each in (self.file, self.key) if not each.exists()]
        if not self.path.is_dir():
            return f"there is no directory {self.path}"
        return f"{self.path} has no {' and no '.join(lost)}" if lost else ""

    def problem(self, state: Path) -> str:
        """Return why no service can be made of it, empty if one can; `state` is what the service can write."""
        return self._problem_of_place() or self._problem_of_owner() or self._problem_of_configuration(state)

    def _problem_of_place(self) -> str:
        hidden = [each for each in HIDDEN if self.seen.is_relative_to(each)]
        if not hidden:
            return ""
        return f"{self.path} must not be below {hidden[0]}, which the service cannot see: move it to /etc or /srv"

    def _problem_of_owner(self) -> str:
        for each in sorted({self.path, self.file, *self._named()}):
            if is_others(each.stat()):
                remedy = f"chown -R root: {self.path}; chmod -R go-w {self.path}"
                return f"{each} must belong to root, and nobody else may write it: {remedy}"
        for key in (self.key, self.path / AUTHORITY_KEY):
            if key.exists() and stat.S_IMODE(key.stat().st_mode) & 0o077:
                return f"{key} must be readable by its owner only: chmod 600 {key}"
        return ""

    def _problem_of_configuration(self, state: Path) -> str:
        agent = section(self.config(), "agent")
        named = section(agent, "authentication").get("private_key")
        if named not in (KEY, str(self.key)):
            return f"agent.authentication.private_key must be {KEY}, the file that the service is given, got {named}"
        if "renewal" in agent and (there := section(agent, "renewal").get("authority", AUTHORITY)) not in (
            AUTHORITY, str(self.path / AUTHORITY),
        ):  # fmt: skip
            return f"agent.renewal.authority must be {AUTHORITY}, whose key the service is given, got {there}"
        kept = agent.get("state_directory")
        if kept not in (None, str(state)):
            return f"agent.state_directory must be {state}, which the service can write, or be left out, got {kept}"
        return ""

    def renews(self) -> bool:
        """Whether things renew their certificates over the air, for which the service needs the authority's key."""
        return "renewal" in section(self.config(), "agent")

    def closed(self) -> Iterator[tuple[Path, int]]:
        """Yield what the service has to read and only root can yet, each with the mode that lets its group."""
        for path in sorted({self.path, self.file, *self._named()}):
            mode, needed = stat.S_IMODE(path.stat().st_mode), 0o5 if path.is_dir() else 0o4
            if mode & needed != needed:
                yield path, (mode | needed << 3) & 0o770

    def _named(self) -> Iterator[Path]:
        """Yield the files and directories in here that the configuration names, but no key, with what they are in."""
        for text in strings_of(self.config()):
            path = self.path / text
            if "\0" in text or path.suffix == ".key" or not os.path.exists(path) or ".." in path.parts:
                continue
            if path == self.path / AUTHORITY:  # which agent.renewal names, and where the service has nothing to read
                continue
            inside = sorted(path.glob("*.json")) if path.is_dir() else []
            for each in (path, *path.parents, *inside):
                if self.path in each.parents and not each.is_symlink():
                    yield each


def is_others(found: os.stat_result) -> bool:
    """Whether somebody else than root, or whoever this is, can change a file, and so lead root astray."""
    return found.st_uid not in (0, os.geteuid()) or bool(found.st_mode & 0o022)


def strings_of(value: Any) -> Iterator[str]:
    """Yield every string in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings_of(each)

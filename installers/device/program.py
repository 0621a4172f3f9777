"""The program: which version a source tree holds, a copy of that, and which copy is in force."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shlex
import shutil
from pathlib import Path

from files import write
from problem import Problem

PROGRAM = "amazon-defender-publisher"
PARTS = (  # of the source that a device needs
    PROGRAM, "defender_publisher", "device_defender", "requirements.txt", "configs", "installers", "LICENSE",
)  # fmt: skip
SUFFIXES = {".py", ".pem", ".json", ".txt", ".sh", ".bash", ".service", ".plist", ".conf", ""}
DIGEST_LENGTH = 8  # hexadecimal digits; enough to tell two states of one checkout apart


def name_program(arguments: argparse.Namespace) -> str:
    """Print the name of the version that a source tree holds: its number and the digest of its files."""
    version = ""
    for line in (arguments.source / "defender_publisher" / "__init__.py").read_text("utf-8").splitlines():
        if line.startswith("__version__"):
            version = line.split('"')[1]
    return f"{version}-{digest_of(arguments.source)}"


def copy_program(arguments: argparse.Namespace) -> None:
    """Copy what a device needs of a source tree into a directory."""
    for path in parts_of(arguments.source):
        target = arguments.directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(arguments.source / path, target)
        target.chmod(0o755 if target.suffix in ("", ".bash") and target.name != "LICENSE" else 0o644)


def check_copy(arguments: argparse.Namespace) -> None:
    """Fail unless the directory holds the very files that its name stands for."""
    if digest_of(arguments.directory) != arguments.directory.name.split("-")[-1].split(".")[0]:
        raise Problem(f"{arguments.directory} is damaged")


def digest_of(source: Path) -> str:
    """Return the digest of the names and contents of all files that a device needs."""
    digest = hashlib.sha256()
    for path in parts_of(source):
        content = (source / path).read_bytes()
        digest.update(f"{path.as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:DIGEST_LENGTH]


def parts_of(source: Path) -> list[Path]:
    """Return the files that a device needs, relative to the source tree, in one order everywhere."""
    found = []
    for part in PARTS:
        inside = source / part
        files = inside.rglob("*") if inside.is_dir() else [inside] if inside.is_file() else []
        found += [each for each in files if each.is_file() and each.suffix in SUFFIXES]
    return sorted(each.relative_to(source) for each in found if "__pycache__" not in each.parts)


def point(arguments: argparse.Namespace) -> None:
    """Let a symbolic link point to a target, in one step: whoever follows it finds the old one or the new one."""
    new = arguments.link.with_name(arguments.link.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    new.symlink_to(arguments.target)
    os.replace(new, arguments.link)


def write_launcher(arguments: argparse.Namespace) -> None:
    """Write the command that a person runs: the current version, with its own Python and nobody's environment."""
    current = shlex.quote(str(arguments.root / "current"))
    text = f'#!/bin/sh\nexec {current}/venv/bin/python -Es {current}/{PROGRAM} "$@"\n'
    write(arguments.root / "bin" / PROGRAM, text.encode(), 0o755)

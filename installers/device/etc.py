"""The directory etc: the four files that make a device a thing, kept, put in place, each with its mode.

A device that asks for its certificate by its fleet's claim has two more until it forgets them. Where the program made
its key, `private.key` and `certificate.pem` are links, which stay as long as what they lead to does.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import stat
from pathlib import Path

from configuration import CONFIG, holds_password, parse, section
from credentials import CERTIFICATE, CLAIM_CERTIFICATE, CLAIM_KEY, KEY, ROOTS
from files import read_file, write
from problem import Problem

MODES = {ROOTS: 0o644, CERTIFICATE: 0o644, KEY: 0o600, CONFIG: 0o644}  # in the order in which they are put in place
CLAIM_MODES = {CLAIM_CERTIFICATE: 0o644, CLAIM_KEY: 0o600}  # put in place before those
ALL_MODES = {**CLAIM_MODES, **MODES}
IDENTITIES, IDENTITY = "identities", "identity"  # where the program keeps pairs that it made, and which is in force
FORGET = "forget-claim"  # an empty file: the unit of the first boot removes the claim once it has done its work


def read_kept(arguments: argparse.Namespace) -> dict[str, bytes]:
    """Return what an earlier installation left in etc: nothing, unless there is a configuration."""
    if not (arguments.etc / CONFIG).exists():
        return {}
    paths = [arguments.etc / name for name in ALL_MODES if (arguments.etc / name).exists()]
    kept = {path.name: read_file(path) for path in paths if not (arguments.dry_run and not os.access(path, os.R_OK))}
    key = section(section(parse(kept[CONFIG], str(arguments.etc / CONFIG)), "agent"), "authentication").get(
        "private_key"
    )
    if key not in (KEY, str(arguments.etc / KEY)):
        raise Problem(f"agent.authentication.private_key must be {KEY}, the file that the service is given, got {key}")
    return kept


def keep_files(arguments: argparse.Namespace) -> None:
    """Copy what is in etc to another directory, to be restored should the new not do, and beside it as `.old`."""
    keep(arguments.etc, arguments.old)


def keep(etc: Path, old: Path) -> None:
    """Copy what is in etc to another directory, and beside it as `.old`."""
    kept = {name: read_file(etc / name) for name in MODES if (etc / name).exists()}
    for name, content in kept.items():
        write(etc / f"{name}.old", content, mode_of(name, content))
    write_stage(old, kept)


def place_files(arguments: argparse.Namespace) -> None:
    """Put the staged files into etc, each in one step, the configuration last."""
    place(arguments.stage, arguments.etc)


def place(stage: Path, etc: Path) -> None:
    """Put the staged files into etc, each in one step, the configuration last."""
    for name in (*ALL_MODES, *(each + ".new" for each in MODES)):
        staged = stage / name
        if staged.exists():
            put(etc / name, content := read_file(staged), mode_of(name, content))
        elif name not in ALL_MODES:  # put beside by an earlier run, and no longer new
            with contextlib.suppress(FileNotFoundError):
                (etc / name).unlink()
    shutil.rmtree(stage)


def put(path: Path, content: bytes, mode: int) -> None:
    """Write a file, unless it is there with this content already: a link to the program's own pair stays one then."""
    with contextlib.suppress(OSError, Problem):
        if read_file(path) == content:
            if stat.S_IMODE(path.stat().st_mode) != mode and not path.is_symlink():
                path.chmod(mode)
            return
    write(path, content, mode)


def write_stage(directory: Path, files: dict[str, bytes]) -> None:
    """Write the files into a directory that only its owner can enter, and which holds nothing else."""
    if directory.is_symlink() or directory.is_file():
        directory.unlink()
    elif directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(mode=0o700)
    for name, content in files.items():
        write(directory / name, content, mode_of(name, content))


def mode_of(name: str, content: bytes) -> int:
    """Return the mode of a file in etc; a configuration that holds a password is root's until the service gets it."""
    plain = name.replace(".new", "")
    return MODES[KEY] if plain == CONFIG and holds_password(content) else ALL_MODES[plain]

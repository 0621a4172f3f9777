"""The program: which version a source tree holds, a copy of that, and which copy is in force."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shlex
import shutil
from pathlib import Path

from files import sync_directory, write
from problem import Problem
from product import PRODUCTS, Product

SUFFIXES = {
    ".py", ".pem", ".json", ".txt", ".lock", ".sh", ".bash", ".service", ".timer", ".path", ".plist", ".conf", ".typed",
    ".html", ".css", ".js", ".svg", "",
}  # fmt: skip
DIGEST_LENGTH = 8  # hexadecimal digits; enough to tell two states of one checkout apart


def name_program(arguments: argparse.Namespace) -> str:
    """Print the name of the version that a source tree holds: its number and the digest of its files."""
    return name_of(arguments.source, PRODUCTS[arguments.product])


def name_of(source: Path, product: Product) -> str:
    """Return the name of the version that a source tree holds."""
    version = ""
    for line in (source / product.versioned).read_text("utf-8").splitlines():
        if line.startswith("__version__"):
            version = line.split('"')[1]
    return f"{version}-{digest_of(source, product)}"


def copy_program(arguments: argparse.Namespace) -> None:
    """Copy what a device needs of a source tree into a directory."""
    copy(arguments.source, arguments.directory, PRODUCTS[arguments.product])


def copy(source: Path, directory: Path, product: Product) -> None:
    """Copy what a device needs of a source tree into a directory."""
    for path in parts_of(source, product):
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target)
        target.chmod(0o755 if target.suffix in ("", ".bash") and target.name != "LICENSE" else 0o644)


def check_copy(arguments: argparse.Namespace) -> None:
    """Fail unless the directory holds the very files that its name stands for."""
    if not check_copy_of(arguments.directory, PRODUCTS[arguments.product]):
        raise Problem(f"{arguments.directory} is damaged")


def check_copy_of(directory: Path, product: Product) -> bool:
    """Whether a directory holds the very files that its name stands for."""
    return digest_of(directory, product) == directory.name.split("-")[-1].split(".")[0]


def digest_of(source: Path, product: Product) -> str:
    """Return the digest of the names and contents of all files that a device needs."""
    digest = hashlib.sha256()
    for path in parts_of(source, product):
        content = (source / path).read_bytes()
        digest.update(f"{path.as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:DIGEST_LENGTH]


def parts_of(source: Path, product: Product) -> list[Path]:
    """Return the files that a device needs, relative to the source tree, in one order everywhere."""
    found = []
    for part in product.parts:
        inside = source / part
        files = inside.rglob("*") if inside.is_dir() else [inside] if inside.is_file() else []
        found += [each for each in files if each.is_file() and each.suffix in SUFFIXES]
    return sorted(each.relative_to(source) for each in found if "__pycache__" not in each.parts)


def point(arguments: argparse.Namespace) -> None:
    """Let a symbolic link point to a target, in one step: whoever follows it finds the old one or the new one."""
    link(arguments.link, arguments.target)


def link(name: Path, target: Path | str) -> None:
    """Let a symbolic link point to a target, in one step."""
    new = name.with_name(name.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    new.symlink_to(target)
    os.replace(new, name)
    sync_directory(name.parent)


def write_launcher(arguments: argparse.Namespace) -> None:
    """Write the command that a person runs: the current version, with its own Python and nobody's environment."""
    product = PRODUCTS[arguments.product]
    write_command(arguments.root, product, arguments.user or product.user)


def write_command(root: Path, product: Product, user: str) -> None:
    """Write the commands that a person runs, one for each program of a product.

    Each says so where an update of the system has taken its Python away. The commands of a configuration run as the
    service's user where root asks, and the state is the service's where no configuration says which that is.
    """
    second = product.companion
    for name in (product.name, *([second.name] if second and second.has_script else [])):
        write(root / "bin" / name, compose_command(root, product, user, name).encode(), 0o755)


def compose_command(root: Path, product: Product, user: str, name: str) -> str:
    """Return the script that runs a program of the current version, with its own Python and nobody's environment."""
    current = shlex.quote(str(root / "current"))
    state = "" if product.says_state else f"export STATE_DIRECTORY=${{STATE_DIRECTORY-/var/lib/{product.name}}}\n"
    return f"""#!/bin/sh
if [ ! -x {current}/venv/bin/python ]; then
    echo "{name}: its Python is gone, as after some updates of a system;" \\
        "run the installer again, which is in" {current}/installers >&2
    exit 1
fi
export AMAZON_DEFENDER_COMMANDS_AS={user}
{state}exec {current}/venv/bin/python -Es {current}/{name} "$@"
"""

"""The wheelhouse: wheels of everything in requirements.txt, so that a device is installed without a network.

It holds the wheels of the machine that builds it, and those of the usual devices. A package with compiled code has a
wheel for each Python and platform, unless it has one that fits all; 32-bit ARM has none on PyPI, and needs a wheelhouse
built on such a device.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")  # Apple's and Debian 11's is 3.9, Ubuntu 24.04's 3.12
PLATFORMS = {  # each with the tags of wheels that run there
    "Linux on 64-bit ARM": ("manylinux2014_aarch64", "manylinux_2_28_aarch64"),
    "Linux on x86-64": ("manylinux2014_x86_64", "manylinux_2_28_x86_64"),
    "macOS on Apple silicon": ("macosx_11_0_arm64",),
    "macOS on Intel": ("macosx_11_0_x86_64",),
}
_ENTRY = re.compile(r"^(?=[a-z])", re.MULTILINE)  # where one begins in a lock
_LIMIT = re.compile(r'python_version (>=|<) "([\d.]+)"')
ANY = "any"
COMPILED = ("msgspec", "psutil")  # have no wheel without compiled code
BOTH = ("cbor2",)  # has one, which is as good for a report, beside one for each Python and platform
PURE = ("awsiotpythonsdk",)  # has only that
RETAGGED = ("timeloop",)  # has only one that says Python 2, which an installer gives another name
QUIET = ("--quiet", "--disable-pip-version-check", "--no-input")


class WheelError(Exception):
    """The wheels cannot be had; says what pip said."""


def build_own(locks: Path, wheelhouse: Path) -> None:
    """Put the wheels that this Python on this machine needs into `wheelhouse`, compiled where PyPI has none."""
    lock = ("--dest", str(wheelhouse), "--no-deps", "--require-hashes", "--requirement", str(locks / "packages.lock"))
    if _pip("download", "--only-binary", ":all:", *lock).returncode:
        done = _pip("wheel", "--wheel-dir", *lock[1:])
        if done.returncode:
            raise WheelError(done.stderr.strip())
    _fetch_retagged(locks, wheelhouse)


def fetch_others(locks: Path, wheelhouse: Path) -> Iterator[str]:
    """Add the wheels of other Pythons and platforms; yield a line for each set that could not be had."""
    for packages, platforms, pythons in (((*BOTH, *PURE), (ANY,), PYTHONS[:1]), (COMPILED, PLATFORMS, PYTHONS)):
        for platform, python in itertools.product(platforms, pythons):
            with _extract(locks / "packages.lock", packages, python) as lock:
                options = ("--require-hashes", "--requirement", lock.name)
                if fetch(wheelhouse, *options, platform=platform, python=python).returncode:
                    yield f"left out: {' and '.join(packages)} for Python {python} on {platform} could not be had"


def fetch(
    directory: Path, *requirement: str, platform: str, python: str, implementation: str = "cp"
) -> subprocess.CompletedProcess[str]:
    """Fetch the wheels of a Python on a platform into a directory."""
    tags = [option for tag in PLATFORMS.get(platform, (ANY,)) for option in ("--platform", tag)]
    fixed = ("--dest", str(directory), "--no-deps", "--only-binary", ":all:", "--implementation", implementation)
    return _pip("download", *fixed, "--python-version", python, *tags, *requirement)


def fetch_source(directory: Path, requirement: str) -> subprocess.CompletedProcess[str]:
    """Fetch what a wheel is compiled from."""
    return _pip("download", "--dest", str(directory), "--no-deps", "--no-binary", ":all:", requirement)


def fetch_python2(directory: Path, *requirement: str) -> subprocess.CompletedProcess[str]:
    """Fetch a wheel that says Python 2 and nothing else."""
    return fetch(directory, *requirement, platform=ANY, python="2.7", implementation="py")


def read_requirements(path: Path) -> dict[str, str]:
    """Return the requirement of each package by its name, in lower case."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    return {re.split(r"[<>=! ;]", line)[0].lower(): line for line in lines if line}


def read_lock(path: Path) -> dict[str, str]:
    """Return all that a lock says of each package by its name."""
    entries: dict[str, str] = {}
    for entry in _ENTRY.split(path.read_text())[1:]:
        name = entry.split("==")[0]
        entries[name] = entries.get(name, "") + entry
    return entries


def entries_for(lock: str, python: str) -> Iterator[str]:
    """Yield the entries of a lock that are for a Python, without their conditions, which pip asks of its own Python."""
    for entry in _ENTRY.split(lock)[1:]:
        line, _, hashes = entry.partition(" \\\n")
        requirement, _, condition = line.partition(" ; ")
        limits = dict(_LIMIT.findall(condition))
        if _number(limits.get(">=", "3")) <= _number(python) < _number(limits.get("<", "4")):
            yield f"{requirement} \\\n{hashes}"


def _number(python: str) -> tuple[int, ...]:
    return tuple(map(int, python.split(".")))


@contextlib.contextmanager
def _extract(lock: Path, packages: Iterable[str], python: str) -> Iterator[IO[str]]:
    """Have a lock of some packages only, for one Python."""
    text = "".join(text for name, text in read_lock(lock).items() if name in packages)
    with tempfile.NamedTemporaryFile("w", suffix=".lock") as file:
        file.write("".join(entries_for(text, python)))
        file.flush()
        yield file


def _fetch_retagged(locks: Path, wheelhouse: Path) -> None:
    done = fetch_python2(wheelhouse, "--require-hashes", "--requirement", str(locks / "retagged.lock"))
    if done.returncode:
        raise WheelError(done.stderr.strip())
    retag = [sys.executable, "-I", "-B", str(locks / "device"), "retag-wheels", str(wheelhouse)]
    subprocess.run(retag, check=True, capture_output=True)


def _pip(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "pip", command, *QUIET, *arguments]
    return subprocess.run(whole, capture_output=True, text=True, check=False)

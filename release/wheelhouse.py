"""The wheelhouse: wheels of everything in requirements.txt, so that a device is installed without a network.

It holds the wheels of the machine that builds it, and those of the usual devices. A package with compiled code has a
wheel for each Python and platform, unless it has one that fits all; 32-bit ARM has none on PyPI, and needs a wheelhouse
built on such a device.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")  # Apple's and Debian 11's is 3.9, Ubuntu 24.04's 3.12
PLATFORMS = {  # each with the tags of wheels that run there
    "Linux on 64-bit ARM": ("manylinux2014_aarch64", "manylinux_2_28_aarch64"),
    "Linux on x86-64": ("manylinux2014_x86_64", "manylinux_2_28_x86_64"),
    "macOS on Apple silicon": ("macosx_11_0_arm64",),
    "macOS on Intel": ("macosx_11_0_x86_64",),
}
COMPILED = ("msgspec", "psutil")  # have no wheel without compiled code
PURE = "cbor2"  # has one, which is as good for a report, beside one for each Python and platform
QUIET = ("--quiet", "--disable-pip-version-check", "--no-input")


class WheelError(Exception):
    """The wheels of this machine cannot be had; says what pip said."""


def build_own(requirements: Path, wheelhouse: Path, time: int) -> None:
    """Put the wheels that this Python on this machine needs into `wheelhouse`, built where PyPI has none."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(time)}  # what the files in a wheel that is built are dated
    done = _pip("wheel", "--wheel-dir", str(wheelhouse), "--requirement", str(requirements), environment=environment)
    if done.returncode:
        raise WheelError(done.stderr.strip())


def fetch_others(requirements: Path, wheelhouse: Path) -> Iterator[str]:
    """Add the wheels of other Pythons and platforms; yield a line for each that could not be had."""
    needed = read_requirements(requirements)
    if _fetch(wheelhouse, needed[PURE], "--platform", "any").returncode:
        yield f"left out: a wheel of {PURE} that fits every platform could not be had"
    for (platform, tags), python in itertools.product(PLATFORMS.items(), PYTHONS):
        options = [option for tag in tags for option in ("--platform", tag)]
        for name in COMPILED:
            if _fetch(wheelhouse, needed[name], "--python-version", python, *options).returncode:
                yield f"left out: a wheel of {name} for Python {python} on {platform} could not be had"


def read_requirements(path: Path) -> dict[str, str]:
    """Return the requirement of each package by its name, in lower case."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    return {line.split(">")[0].split("=")[0].strip().lower(): line for line in lines if line}


def _fetch(wheelhouse: Path, requirement: str, *options: str) -> subprocess.CompletedProcess[str]:
    fixed = ("--dest", str(wheelhouse), "--no-deps", "--only-binary", ":all:", "--implementation", "cp")
    return _pip("download", *fixed, *options, requirement)


def _pip(command: str, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "pip", command, *QUIET, *arguments]
    return subprocess.run(whole, capture_output=True, text=True, check=False, env=environment)

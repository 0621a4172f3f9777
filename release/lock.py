"""The locks: which version of each package a device installs, and the hashes of its files (`make lock`).

A file that is not in them is not installed, whatever an index offers. They are written anew when requirements.txt
changes, or when somebody has looked at what is newer.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from release import wheelhouse

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "installers"
PACKAGES, RETAGGED, BUILD = LOCKS / "packages.lock", LOCKS / "retagged.lock", LOCKS / "build.lock"
DETECT, DETECT_NEEDS = LOCKS / "detect.lock", ROOT / "defender_detect" / "requirements.txt"
CONSOLE, CONSOLE_NEEDS = LOCKS / "detect-console.lock", ROOT / "defender_detect" / "console-requirements.txt"
FLINK, SNS_NEEDS = LOCKS / "flink.lock", ROOT / "defender_detect" / "sns-requirements.txt"
OLDEST_FOR_DETECT, OLDEST_FOR_CONSOLE, OLDEST_FOR_FLINK = "3.10", "3.11", "3.12"
FLINK_NEEDS = ("cbor2", "msgspec")  # of what Detect needs; and boto3, for alarms
WRITTEN = "# Written by `make lock`: what may be installed, and nothing else.\n"
WHEEL_NAME = re.compile(r"(?P<name>[A-Za-z0-9_.]+)-(?P<version>[^-]+)(-.*\.whl|\.tar\.gz)")
# What builds a wheel where there is none, as on 32-bit ARM; setuptools-scm 8 is the last that needs so little.
BUILDERS = (
    "setuptools==80.9.0", "setuptools-scm==8.3.1", "packaging", "typing-extensions", "tomli", "importlib-metadata",
    "zipp",
)  # fmt: skip


@dataclass
class Locked:
    """A version of a package: the Pythons that get it, and the hashes of its files."""

    pythons: set[str] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)


Table = dict[tuple[str, str], Locked]  # by name and version


def main() -> int:
    """Write all locks; return the exit status."""
    needed = wheelhouse.read_requirements(ROOT / "requirements.txt")
    try:
        with tempfile.TemporaryDirectory() as directory:
            PACKAGES.write_text(WRITTEN + "".join(lines_of(lock_packages(needed, Path(directory) / "packages"))))
            RETAGGED.write_text(WRITTEN + "".join(lines_of(lock_retagged(needed, Path(directory) / "retagged"))))
            BUILD.write_text(WRITTEN + "".join(lines_of(lock_builders(Path(directory) / "build"))))
            DETECT.write_text(WRITTEN + lock_detect())
            CONSOLE.write_text(WRITTEN + lock_console())
            FLINK.write_text(WRITTEN + lock_flink(Path(directory) / "flink.txt"))
    except wheelhouse.WheelError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def lock_packages(needed: dict[str, str], directory: Path) -> Table:
    """Return what there is for each Python and platform, and the source of what has to be compiled elsewhere."""
    table: Table = defaultdict(Locked)
    sought = dict.fromkeys(wheelhouse.PLATFORMS, (*wheelhouse.COMPILED, *wheelhouse.BOTH))
    for platform, names in {**sought, wheelhouse.ANY: (*wheelhouse.PURE, *wheelhouse.BOTH)}.items():
        for python, name in itertools.product(wheelhouse.PYTHONS, names):
            where = directory / f"{name}-{platform}-{python}"
            done = wheelhouse.fetch(where, needed[name], platform=platform, python=python)
            enter(table, python, fetched(done, where))
    for name, version in [key for key in table if key[0] in wheelhouse.COMPILED]:
        where = directory / f"{name}-{version}"
        done = wheelhouse.fetch_source(where, f"{name}=={version}")
        for file in fetched(done, where):
            table[name, version].hashes.add(hash_of(file))
    return table


def lock_retagged(needed: dict[str, str], directory: Path) -> Table:
    """Return the wheels that say Python 2 and run on Python 3, for which an installer gives them another name."""
    table: Table = defaultdict(Locked)
    for name in wheelhouse.RETAGGED:
        where = directory / name
        enter(table, "2.7", fetched(wheelhouse.fetch_python2(where, needed[name]), where))
    return table


def lock_builders(directory: Path) -> Table:
    """Return what builds a wheel."""
    table: Table = defaultdict(Locked)
    for python in wheelhouse.PYTHONS:
        for requirement in BUILDERS:
            where = directory / f"{requirement}-{python}"
            enter(
                table,
                python,
                fetched(wheelhouse.fetch(where, requirement, platform=wheelhouse.ANY, python=python), where),
            )
    return table


def lock_detect() -> str:
    """Return the lock of Detect, whose packages bring two dozen others."""
    tested_with = ROOT / "requirements.txt"
    return "".join(resolve(OLDEST_FOR_DETECT, tested_with, DETECT_NEEDS))


def lock_console() -> str:
    """Return the lock of what the console needs besides the lock of Detect, which is there already."""
    there = wheelhouse.read_lock(DETECT)
    entries = resolve(OLDEST_FOR_CONSOLE, DETECT, DETECT_NEEDS, CONSOLE_NEEDS)
    return "".join(entry for entry in entries if entry.partition("==")[0] not in there)


def lock_flink(needs: Path) -> str:
    """Return the lock of what the job on Apache Flink needs, by a file of requirements that is written for it."""
    needed = wheelhouse.read_requirements(DETECT_NEEDS)
    needs.write_text("".join(f"{needed[name]}\n" for name in FLINK_NEEDS))
    return "".join(resolve(OLDEST_FOR_FLINK, DETECT, needs, SNS_NEEDS))


def resolve(python: str, constraint: Path, *needs: Path) -> Iterator[str]:
    """Yield an entry for each package that the needs bring from a Python on: uv finds them for each platform."""
    plain = ("--universal", "--generate-hashes", "--no-header", "--no-annotate", "--no-config")
    uv: list[str | Path] = [Path(sys.executable).with_name("uv"), "pip", "compile", *plain, "--python-version", python]
    command = [*uv, "--constraint", constraint, *needs]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        raise wheelhouse.WheelError(done.stderr.strip())
    entries = re.split(r"^(?=\w)", done.stdout, flags=re.MULTILINE)
    yield from (entry for entry in entries if "sys_platform == 'win32'" not in entry.partition("\n")[0])


def fetched(done: subprocess.CompletedProcess[str], directory: Path) -> list[Path]:
    """Return the files that pip brought; raises WheelError with its words if there are none."""
    if done.returncode:
        raise wheelhouse.WheelError(done.stderr.strip())
    return sorted(directory.iterdir())


def enter(table: Table, python: str, files: Iterable[Path]) -> None:
    """Enter files for a Python into the table."""
    for file in files:
        found = WHEEL_NAME.fullmatch(file.name)
        if found is None:
            raise wheelhouse.WheelError(f"{file.name} is not the name of a wheel")
        locked = table[found["name"].lower().replace("_", "-"), found["version"]]
        locked.pythons.add(python)
        locked.hashes.add(hash_of(file))


def hash_of(file: Path) -> str:
    """Return the hash of a file as pip wants it."""
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def lines_of(table: Table) -> Iterator[str]:
    """Yield a requirement with its hashes for each entry, as pip reads it."""
    for (name, version), locked in sorted(table.items()):
        pythons = {python for (other, _), each in table.items() if other == name for python in each.pythons}
        hashes = "".join(f" \\\n    --hash={each}" for each in sorted(locked.hashes))
        yield f"{name}=={version}{marker_of(locked.pythons, pythons)}{hashes}\n"


def marker_of(some: set[str], every: set[str]) -> str:
    """Return the condition under which a Python gets a version that only some of them have."""
    numbers = sorted(every, key=lambda python: tuple(map(int, python.split("."))))
    chosen = [python for python in numbers if python in some]
    if len(chosen) == len(numbers):
        return ""
    later = numbers[numbers.index(chosen[-1]) + 1 :]
    limits = [f'python_version >= "{chosen[0]}"'] * (chosen[0] != numbers[0])
    limits += [f'python_version < "{later[0]}"'] if later else []
    return f" ; {' and '.join(limits)}"


if __name__ == "__main__":
    sys.exit(main())

"""The Python packages of a version: only files whose hashes are in its locks, or those of a wheelhouse.

From an index they come as wheels. Where there are none, as on 32-bit ARM, they are built from sources that the lock
has, with builders that it has; what the distribution brings counts as well. The wheels stay beside the environment.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

from commands import Commands
from product import PUBLISHER, Companion, Product
from surroundings import for_pip, for_reading_settings, link_netrc, settings_of
from wheel import retag_wheels

QUIETLY = ("--no-input", "--disable-pip-version-check", "--no-cache-dir")
WHEELS = "wheels"
IS_32_BIT = sys.maxsize < 2**32  # this Python, which is the one that the packages are for
EXTRA_INDEX = "PIP_EXTRA_INDEX_URL"
PYTHON2 = ("--python-version", "2.7", "--implementation", "py", "--platform", "any")
ONLY_WHEELS = ("--only-binary", ":all:")
SATISFIED = """
import fileinput
from importlib.metadata import version
from pip._vendor.packaging.requirements import Requirement
for line in fileinput.input():
    try:
        requirement = Requirement(line.split("#")[0].strip())
        if requirement.specifier.contains(version(requirement.name), prereleases=True):
            print(requirement.name.lower())
    except Exception:
        pass
"""  # prints the names of what an environment has of lists, with pip's own understanding of it


class Packages:
    """Installs the packages of a version into its own environment; `directory` is that of whoever installs."""

    def __init__(
        self,
        commands: Commands,
        program: Path,
        directory: Path,
        wheelhouse: Path | None = None,
        product: Product = PUBLISHER,
        companion: Companion | None = None,
    ) -> None:
        self.commands = commands
        self.program = program
        self.product = product
        second = companion if companion and companion.lock else None
        names = (product.requirements, *([second.requirements] if second else []))
        self.requirements = [word for name in names for word in ("--requirement", program / name)]
        self.lock_names = (product.lock, *([second.lock] if second else []))
        self.directory = directory
        self.wheelhouse = wheelhouse
        self.wheels = program / WHEELS
        self.locks = program / "installers"
        self.settings: dict[str, str] = {}

    def install(self, with_systems: bool = False) -> bool:
        """Make the environment and fill it; `with_systems` lets it have what the distribution brings."""
        if not self._make_environment(with_systems):
            return False
        if self.wheelhouse is not None:
            return self._install_from(self.wheelhouse)
        self._read_settings()
        self.commands.remove(self.wheels)
        self.commands.make_open(self.wheels)
        fetched = not with_systems and (self._download(*ONLY_WHEELS) or self._download_by_version())
        if not (fetched or self._build_apart(with_systems)):
            return False
        return self._fetch_python2() and self._install_from(self.wheels)

    def _build_apart(self, with_systems: bool) -> bool:
        """Build wheels, and make the environment again, without what has built them."""
        return self._build() and self._make_environment(with_systems)

    def _download_by_version(self) -> bool:
        """Bring wheels that an index of the distribution has for 32-bit ARM, of the versions in the lock.

        Only they are taken without a hash: Raspberry Pi OS has such an index, and /etc/pip.conf names it there.
        """
        if not (IS_32_BIT and EXTRA_INDEX in self.settings):
            return False
        lock = self.wheels / "versions.lock"
        lines = [line.rstrip(" \\") for line in self._read_locks().splitlines() if "==" in line]
        lock.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return self._pip("download", "--no-deps", "--dest", self.wheels, *ONLY_WHEELS, "--requirement", lock)

    def _read_locks(self) -> str:
        return "".join((self.locks / f"{name}.lock").read_text("utf-8") for name in self.lock_names)

    def _make_environment(self, with_systems: bool) -> bool:
        options = ["--system-site-packages"] if with_systems else []
        return self.commands.run(self.commands.python, "-I", "-m", "venv", "--clear", *options, self.program / "venv")

    def _read_settings(self) -> None:
        """Learn which index, certificates and proxy pip would use here."""
        question = [self._own_python, "-I", "-m", "pip", "config", "list"]
        self.commands.tell(*question)
        if not self.commands.dry_run:
            said = self.commands.ask(*question, environment=for_reading_settings(self.commands.of_user))
            self.settings = settings_of(said or "", self.directory)

    def _download(self, *options: object, locks: tuple[str, ...] = ()) -> bool:
        locked = [word for name in locks or self.lock_names for word in ("--requirement", self.locks / f"{name}.lock")]
        return self._pip("download", "--no-deps", "--dest", self.wheels, *options, "--require-hashes", *locked)

    def _fetch_python2(self) -> bool:
        """Bring the wheels that say Python 2, and give them the name of ours."""
        if not self.product.retagged:
            return True
        if not self._download(*ONLY_WHEELS, *PYTHON2, locks=(self.product.retagged,)):
            return False
        retag = argparse.Namespace(directory=self.wheels)
        self.commands.do_as_device("retag-wheels", [self.wheels], lambda: retag_wheels(retag))
        return True

    def _build(self) -> bool:
        """Build wheels of what is missing from sources and with builders that are in the locks."""
        lock = self.wheels / "missing.lock"
        builders = ("--no-deps", "--require-hashes", *ONLY_WHEELS, "--requirement", self.locks / "build.lock")
        self.commands.do(["touch", lock], lambda: self._write_missing(lock))
        missing = ("--require-hashes", "--no-build-isolation", "--no-deps", "--requirement", lock)
        return self._pip("install", *builders) and self._pip("wheel", "--wheel-dir", self.wheels, *missing)

    def _write_missing(self, lock: Path) -> None:
        """Write the entries of the lock that the distribution's packages are no substitute for."""
        said = self.commands.ask(self._own_python, "-I", "-c", SATISFIED, *self.requirements[1::2])
        there = set((said or "").split())
        entries = re.split(r"^(?=\w)", self._read_locks(), flags=re.MULTILINE)
        lock.write_text("".join(each for each in entries if each.split("==")[0] not in there), "utf-8")

    def _install_from(self, wheels: Path) -> bool:
        from_there = ("--no-index", "--find-links", wheels)
        return self._pip("install", *from_there, *self.requirements)

    def _pip(self, command: str, *words: object) -> bool:
        """Run the environment's pip, which sees of this system's settings only those that count."""
        with tempfile.TemporaryDirectory() as home:
            link_netrc(self.commands.of_user, Path(home))
            environment = for_pip(self.commands.of_user, self.settings, Path(home))
            return self.commands.run(
                self._own_python, "-I", "-m", "pip", command, *QUIETLY, *words, environment=environment
            )

    @property
    def _own_python(self) -> Path:
        return self.program / "venv" / "bin" / "python"


def keep_wheels(commands: Commands, wheelhouse: Path, wheels: Path, requirements: Path) -> None:
    """Copy those wheels of a wheelhouse that a Mac may need, for whichever Python it has one day."""
    lines = [line.split("#")[0].strip() for line in requirements.read_text("utf-8").splitlines()]
    names = {re.split(r"[<>=! ;]", line)[0].lower() for line in lines if line}
    for path in sorted(wheelhouse.glob("*.whl")):
        if path.name.split("-")[0].lower() in names and "linux" not in path.name:
            commands.copy(path, wheels / path.name)

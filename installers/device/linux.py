"""Linux with systemd: packages of apt or dnf, users of shadow, units of systemd."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from packager import Packager
from product import Companion
from session import Session

STATE = Path("/var/lib")
UNITS = Path("/etc/systemd/system")
OLDEST_SYSTEMD = 247  # which brought LoadCredential
SYSTEMD_RUNS = Path("/run/systemd/system")
RELEASE = Path("/etc/os-release")
LAST_LINES = "12"  # of the journal


class Linux:
    """What an installer does to a Linux."""

    service_manager = "systemctl"
    keeps_wheels = False
    has_first_boot = True

    def __init__(self, session: Session) -> None:
        self.session = session
        self.product = session.product
        self.commands = session.commands
        offline = session.options.wheelhouse is not None and not session.options.update_lists
        self.packager = Packager(session.commands, offline)
        second = self.product.companion
        self.companion_before = second if second and self._unit(second.unit).exists() else None
        self.companion = session.companion(self.companion_before is not None)
        there = tuple(each for each in self.product.oneshots if self._unit(each.units[0]).exists())
        self.oneshots = self.oneshots_before = there
        self.started_at = 0.0
        self.shards = 0

    @property
    def template(self) -> str:
        """The example configuration."""
        return self.product.examples[0]

    @property
    def default_logfile(self) -> Path | None:
        """Nowhere but in the journal, unless the configuration names a file."""
        return None

    @property
    def user(self) -> str:
        """Whom the service runs as."""
        return self.product.user

    @property
    def key_readers(self) -> str:
        """Who can read the key; systemd hands a copy to the service."""
        return "root"

    @property
    def state(self) -> Path:
        """Where the service keeps its state, which systemd makes."""
        return STATE / self.product.name

    @property
    def service_file(self) -> Path:
        """The unit that is told of."""
        return self._unit(self._files[0])

    @property
    def units(self) -> list[str]:
        """The units of all services, in the order of their start."""
        own = self.product.units
        if self.shards:
            own = tuple(self.product.template.replace("@", f"@{shard}") for shard in range(self.shards))
        return [*own, *([self.companion.unit] if self.companion else [])]

    @property
    def _files(self) -> list[str]:
        """The files of these units: of all shards it is one."""
        own = (self.product.template,) if self.shards else self.product.units
        return [*own, *([self.companion.unit] if self.companion else [])]

    @property
    def beside(self) -> list[str]:
        """The units that start oneshots."""
        return [unit for each in self.oneshots for unit in each.enabled]

    def describe(self) -> str:
        """Return what this is; fail if it is not for this installer."""
        said = self.commands.ask_system("systemctl", "--version")
        number = re.match(r"systemd (\d+)", said or "")
        version = int(number[1]) if number else 0
        if self.commands.prefix is None:
            if not SYSTEMD_RUNS.is_dir() and not (self.session.dry_run or self.session.options.first_boot):
                self.session.fail("systemd does not run here")
            if version < OLDEST_SYSTEMD:
                self.session.fail(f"systemd {OLDEST_SYSTEMD} or later is needed, not {version or 'none'}")
        systemd = f", systemd {version}" if version else ""
        return f"{name_release()}, {self.packager.architecture()}{systemd}"

    def provide_python(self) -> str:
        """Install what Python lacks here; return its name, empty for nothing."""
        if self.commands.ask(self.session.python, "-I", "-c", "import ensurepip, venv") is not None:
            return ""
        return self.packager.provide("venv")

    def provide_builders(self) -> list[str]:
        """Install what Python packages are built with where there are no wheels; return what was installed."""
        return self.packager.provide_builders() if self.packager.lacks_wheels() else []

    # The user

    def make_user(self) -> None:
        """Make user and group, the group first: killed in the middle of both, useradd leaves a user without one."""
        if not self._knows("group", self.user):
            done = self.commands.system("groupadd", "--system", self.user)
            self.session.require(done, f"cannot create the group {self.user}")
        if not self._knows("passwd", self.user):
            more = ["--groups", ",".join(self.product.groups)] if self.product.groups else []
            done = self.commands.system(
                "useradd", "--system", "--gid", self.user, *more, "--no-create-home", "--home-dir", "/nonexistent",
                "--shell", "/usr/sbin/nologin", "--comment", self.product.comment, self.user,
            )  # fmt: skip
            self.session.require(done, f"cannot create the user {self.user}")
        groups = (self.commands.ask_system("id", "-Gn", self.user) or "").split()
        if not {*groups} <= {self.user, *self.product.groups}:
            self.session.fail(f"the user {self.user} must be in no other group, but is in: {' '.join(groups)}")

    def own_logs(self, logs: Path) -> None:
        """Let the service write its log."""
        done = self.commands.system("chown", self.user, logs)
        self.session.require(done, f"{logs} cannot be given to {self.user}")

    # The service

    def write_service(self, version: Path) -> None:
        """Put the units of a version in place, and remove one that it does not have or nobody wants."""
        units = self.session.places.below(UNITS)
        self.commands.make_open(units)
        self._drop_companion(version)
        self._drop_others(units)
        self._drop_oneshots(version)
        for unit in [*self._files, *(unit for each in self.oneshots for unit in each.units)]:
            new = units / f"{unit}.new"
            self.commands.copy(version / "installers" / unit, new)
            self.commands.change_mode(0o644, new)
            self.commands.move(new, units / unit)
        if self.commands.prefix is not None or SYSTEMD_RUNS.is_dir():
            self.session.require(self._systemctl("daemon-reload"), "systemd does not take the unit")
        done = self._systemctl("-q", "enable", *self.units, *self.beside)
        self.session.require(done, "the unit cannot be enabled")

    def _drop_companion(self, version: Path) -> None:
        second = self.product.companion
        if second is None:
            return
        if not self.session.dry_run and not self._can_run(version, second):
            self.companion = None  # of an earlier release, or one that was installed without it
        if self.companion is None and self._unit(second.unit).exists():
            self._systemctl("-q", "disable", "--now", second.unit)
            self.commands.remove(self._unit(second.unit))

    def _drop_others(self, units: Path) -> None:
        """Stop what is not to run any more where there are shards now, or none, or fewer than before."""
        template = self.product.template
        if not template:
            return
        enabled = [each.name for each in units.glob(f"*.wants/{template.replace('@', '@*')}")]
        others = sorted({*enabled, *(unit for unit in self.product.units if self._unit(unit).exists())} - {*self.units})
        if others:
            self._systemctl("-q", "disable", "--now", *others)
        gone = template if not self.shards else self.product.units[0]
        if self._unit(gone).exists():
            self.commands.remove(self._unit(gone))

    def _drop_oneshots(self, version: Path) -> None:
        """Remove the oneshots that nobody wants, or of which a version knows nothing."""
        units = version / "installers"
        if not self.session.dry_run:
            self.oneshots = tuple(each for each in self.oneshots if (units / each.units[0]).exists())
        for each in self.product.oneshots:
            if each not in self.oneshots and self._unit(each.units[0]).exists():
                self._systemctl("-q", "disable", "--now", *each.enabled)
                self.commands.remove(*map(self._unit, each.units))

    def _can_run(self, version: Path, second: Companion) -> bool:
        """Whether a version has a second program's unit, and the packages that only that one needs."""
        words = (version / "venv" / "bin" / "python", "-I", "-c", f"import {', '.join(second.imports)}")
        has_packages = not second.imports or self.commands.ask(*words) is not None
        return (version / "installers" / second.unit).exists() and has_packages

    def start(self) -> bool:
        """Start the service again, and wait until it is ready."""
        return self._systemctl("restart", *self.units) and (not self.beside or self._systemctl("restart", *self.beside))

    def lives(self) -> bool:
        """Whether the service still runs."""
        return self.session.dry_run or not self._failing()

    def how_to_look(self) -> str:
        """Return how an operator looks at the service."""
        units = " ".join(self.units)
        return f"look at: systemctl status {units}; journalctl {' '.join(f'-u {unit}' for unit in self.units)}"

    def last_words(self) -> str:
        """Return what the service said last, of more than one the one that fails."""
        ask = self.commands.ask_system
        ask("journalctl", "--sync")  # what was said a moment ago is not there yet
        units = [word for unit in self._failing() or self.units for word in ("-u", unit)]
        since = ("--since", f"@{int(self.started_at)}")
        return ask("journalctl", "--no-pager", "-q", "-o", "cat", "-n", LAST_LINES, *since, *units) or ""

    def _failing(self) -> list[str]:
        """Return the units that do not run."""
        ask = self.commands.ask_system
        return [unit for unit in self.units if ask("systemctl", "-q", "is-active", unit) is None]

    def _unit(self, unit: str) -> Path:
        return self.session.places.below(UNITS / unit)

    def _systemctl(self, *words: object) -> bool:
        return self.commands.system("systemctl", *words)

    def _knows(self, table: str, name: str) -> bool:
        return self.commands.ask_system("getent", table, name) is not None


def name_release() -> str:
    """Return the distribution's name for people."""
    try:
        lines = RELEASE.read_text("utf-8", "replace").splitlines()
    except OSError:
        return "Linux"
    found = [line.partition("=")[2] for line in lines if line.startswith("PRETTY_NAME=")]
    try:
        return " ".join(shlex.split(found[-1])) if found else "Linux"
    except ValueError:
        return found[-1]

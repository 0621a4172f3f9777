"""macOS: accounts of the directory service, jobs of launchd.

Only tools and options that every macOS since 11 has; launchctl by its commands of today, not load and unload.
"""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

from account import Account
from files import read_end
from problem import Problem
from product import ROOT, Oneshot
from session import Session

DAEMONS = Path("/Library/LaunchDaemons")
ROTATION = Path("/etc/newsyslog.d")
LEAVES_WITHIN = 30  # seconds in which a job that was booted out is gone; launchd kills it after 20 (ExitTimeOut)
BOOTSTRAPS = 20  # how often a bootstrap is tried, once a second: after a bootout it fails for 5 s and more
STARTS_WITHIN = 35  # seconds; launchd may put a second start off by ThrottleInterval
TURN = 1.0  # seconds between two looks
SECOND = "stderr-cloudwatch.log"  # of the second program's job
LAST_LINES = 12  # of what the job has said


class Macos:
    """What an installer does to a Mac."""

    service_manager = "launchctl"
    keeps_wheels = True
    has_first_boot = False

    def __init__(self, session: Session) -> None:
        self.session = session
        self.product = session.product
        self.commands = session.commands
        self.places = session.places
        self.started_at = 0.0
        self.shards = 0  # there is no Detect for a Mac
        second = self.product.companion
        self.companion_before = second if second and self._plist(second.label).exists() else None
        self.companion = session.companion(self.companion_before is not None)
        labelled = (each for each in self.product.oneshots if each.label)
        self.oneshots = self.oneshots_before = tuple(each for each in labelled if self._plist(each.label).exists())
        self._started: dict[str, str] = {}

    @property
    def template(self) -> str:
        """The example configuration."""
        return self.product.examples[1]

    @property
    def user(self) -> str:
        """Whom the service runs as."""
        return self.product.account

    @property
    def key_readers(self) -> str:
        """Who can read the key: launchd hands over none as systemd does, so that the account has to be able to."""
        return f"root and {self.user}"

    @property
    def state(self) -> Path:
        """Where the service keeps its state."""
        return ROOT / self.product.name / "state"

    @property
    def default_logfile(self) -> Path | None:
        """Where the service's log is, unless the configuration says so."""
        return ROOT / self.product.name / "logs" / f"{self.product.name}.log"

    @property
    def service_file(self) -> Path:
        """The plist that is told of."""
        return self._plist(self.product.labels[-1])

    @property
    def errors(self) -> list[Path]:
        """What each job says before it has a log."""
        return [self.places.root / ("stderr.log" if each in self.product.labels else SECOND) for each in self.labels]

    @property
    def labels(self) -> list[str]:
        """The labels of all jobs, in the order of their start."""
        return [*self.product.labels, *([self.companion.label] if self.companion else [])]

    def describe(self) -> str:
        """Return what this is."""
        version = (self.commands.ask_system("sw_vers", "-productVersion") or "of an unknown version").strip()
        return f"macOS {version}, {(self.commands.ask('uname', '-m') or 'unknown').strip()}"

    def provide_python(self) -> str:
        """Return what was installed for Python: nothing, because what Apple, python.org and Homebrew have is whole."""
        return ""

    def provide_builders(self) -> list[str]:
        """Return what builds packages: nothing, because all have wheels for macOS."""
        return []

    # The account

    def make_user(self) -> None:
        """Make the account, and the directory of its state."""
        Account(self.session, self.user).make()
        state = self.places.below(self.state)
        self.commands.make_closed(state)
        self.commands.change_mode(0o700, state)
        self._own(state)

    def own_logs(self, logs: Path) -> None:
        """Let the service write its log."""
        done = self.commands.system("chown", self.user, logs)
        self.session.require(done, f"{logs} cannot be given to {self.user}")

    def _own(self, path: Path) -> None:
        done = self.commands.system("chown", f"{self.user}:{self.user}", path)
        self.session.require(done, f"{path} cannot be given to {self.user}")

    # The job

    def write_service(self, version: Path) -> None:
        """Put the plists of a version in place, and remove one that it does not have or nobody wants."""
        self._own(self.places.etc / "private.key")
        self._drop_companion(version)
        self._drop_oneshots(version)
        for errors in self.errors:
            self.commands.copy(Path("/dev/null"), errors)
            self.commands.change_mode(0o600, errors)
            self._own(errors)
        for label in self.labels:
            plist = version / "installers" / f"{label}.plist"
            self.session.require(self.commands.system("plutil", "-lint", "-s", plist), f"{label}.plist is damaged")
            self._put(plist, self._plist(label))
            self._put(version / "installers" / f"{label}.conf", self._rotation(label))
        for oneshot in self.oneshots:
            plist = version / "installers" / f"{oneshot.label}.plist"
            done = self.commands.system("plutil", "-lint", "-s", plist)
            self.session.require(done, f"{oneshot.label}.plist is damaged")
            self._put(plist, self._plist(oneshot.label))
            self._put(version / "installers" / f"{oneshot.label}.conf", self._rotation(oneshot.label))

    def _drop_oneshots(self, version: Path) -> None:
        """Remove the oneshots that nobody wants, or of which a version knows nothing."""
        plists = version / "installers"
        if not self.session.dry_run:
            self.oneshots = tuple(each for each in self.oneshots if (plists / f"{each.label}.plist").exists())
        for each in self.product.oneshots:
            if each.label and each not in self.oneshots and self._plist(each.label).exists():
                self._stop(each.label)
                self.commands.remove(self._plist(each.label), self._rotation(each.label))

    def _drop_companion(self, version: Path) -> None:
        second = self.product.companion
        if second is None:
            return
        if not self.session.dry_run and not (version / "installers" / f"{second.label}.plist").exists():
            self.companion = None  # of an earlier release
        if self.companion is None and self._plist(second.label).exists():
            self._stop(second.label)
            self.commands.remove(self._plist(second.label), self._rotation(second.label))

    def _put(self, source: Path, target: Path) -> None:
        """Put a file in place in one step, as launchd wants it: root's, and written by nobody else."""
        new = target.with_name(f"{target.name}.new")
        self.commands.make_open(target.parent)
        self.commands.copy(source, new)
        self.commands.change_mode(0o644, new)
        done = self.commands.system("chown", "root:wheel", new)
        self.session.require(done, f"{target} cannot be given to root")
        self.commands.move(new, target)

    def start(self) -> bool:
        """Start the service again, and wait until it runs."""
        return all(self._start(label) for label in self.labels) and all(map(self._watch, self.oneshots))

    def _watch(self, oneshot: Oneshot) -> bool:
        """Let launchd know a job that it starts when its time has come."""
        self._stop(oneshot.label)
        return self._launchctl("enable", f"system/{oneshot.label}") and self._bootstrap(oneshot.label)

    def _start(self, label: str) -> bool:
        self._stop(label)
        if not (self._launchctl("enable", f"system/{label}") and self._bootstrap(label)):
            return False
        self._launchctl("kickstart", "-k", f"system/{label}")  # refused where the bootstrap is starting it just now
        return self._wait_until_started(label)

    def _bootstrap(self, label: str) -> bool:
        for attempt in range(1, BOOTSTRAPS + 1):
            if self._launchctl("bootstrap", "system", self._plist(label)):
                return True
            if attempt < BOOTSTRAPS:
                time.sleep(TURN)
        return False

    def _wait_until_started(self, label: str) -> bool:
        for turn in range(STARTS_WITHIN + 1):
            process = "" if self.session.dry_run else self._process(label)
            if process or self.session.dry_run:
                self._started[label] = process
                return True
            if turn < STARTS_WITHIN:
                time.sleep(TURN)
        return False

    def _stop(self, label: str) -> None:
        """Stop a job: launchctl comes back before it has ended, and a bootstrap would be refused until it has."""
        if not self._is_loaded(label):
            return
        self._launchctl("bootout", f"system/{label}")
        for turn in range(LEAVES_WITHIN + 1):
            if self.session.dry_run or not self._is_loaded(label):
                return
            if turn < LEAVES_WITHIN:
                time.sleep(TURN)
        self.session.fail("the service cannot be stopped")

    def lives(self) -> bool:
        """Whether the service still runs, and was not started again."""
        return self.session.dry_run or all(self._process(label) == pid for label, pid in self._started.items())

    def how_to_look(self) -> str:
        """Return how an operator looks at the service."""
        log = self.places.logs / f"{self.product.name}.log"
        jobs = "; ".join(f"sudo launchctl print system/{label}" for label in self.labels)
        return f"look at: {jobs}; {log}; {'; '.join(map(str, self.errors))}"

    def last_words(self) -> str:
        """Return what the service said last."""
        lines: list[str] = []
        for errors in self.errors:
            with contextlib.suppress(OSError, Problem):
                lines += read_end(errors).decode("utf-8", "replace").splitlines()[-LAST_LINES:]
        return "\n".join(lines)

    def _plist(self, label: str) -> Path:
        return self.places.below(DAEMONS / f"{label}.plist")

    def _rotation(self, label: str) -> Path:
        return self.places.below(ROTATION / f"{label}.conf")

    def _launchctl(self, *words: object) -> bool:
        return self.commands.system("launchctl", *words)

    def _is_loaded(self, label: str) -> bool:
        return self.commands.ask_system("launchctl", "print", f"system/{label}") is not None

    def _process(self, label: str) -> str:
        """Return the id of a job's process, or nothing."""
        said = self.commands.ask_system("launchctl", "print", f"system/{label}") or ""
        found = re.search(r"^\s*pid = (\d+)", said, re.MULTILINE)
        return found[1] if found else ""

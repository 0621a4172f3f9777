"""Minimal root file systems of distributions, made by debootstrap once and kept in the cache of this user."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "amazon-defender-publisher"
MAKE_WITHIN = 600.0  # seconds; it takes 30 where the mirror is near
LOOK_WITHIN = 120.0  # seconds for package lists and the packages of Python
DEBIAN, UBUNTU = "http://deb.debian.org/debian", "http://archive.ubuntu.com/ubuntu"
KEYS = {DEBIAN: "debian-archive-keyring.gpg", UBUNTU: "ubuntu-archive-keyring.gpg"}
SCRIPTS = Path("/usr/share/debootstrap/scripts")


@dataclass(frozen=True)
class Distribution:
    """A distribution to try the installer on; `like` is an older one that debootstrap knows how to make."""

    name: str
    suite: str
    mirror: str
    like: str = "sid"

    def __str__(self) -> str:
        return self.name


DISTRIBUTIONS = (
    Distribution("debian-11", "bullseye", DEBIAN),
    Distribution("debian-12", "bookworm", DEBIAN),
    Distribution("debian-13", "trixie", DEBIAN),
    Distribution("ubuntu-24.04", "noble", UBUNTU, "jammy"),
)


class RootError(Exception):
    """A root cannot be made; says why."""


def root_of(distribution: Distribution) -> Path:
    """Return the distribution's root, which is made if it is not in the cache; nobody may write into it.

    It has no Python, but package lists and the packages that the installer asks for, so that it needs no network.
    """
    root = CACHE / "roots" / distribution.name
    with locked(root):
        if not root.exists():
            part = root.with_name(root.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            run([*debootstrap(distribution), distribution.suite, part, distribution.mirror, script_of(distribution)])
            (part / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
            # A mirror may be some weeks old, and a distribution that is not released says that its lists end after one.
            (part / "etc" / "apt" / "apt.conf.d" / "old-mirror").write_text('Acquire::Check-Valid-Until "false";\n')
            run(["chroot", part, "apt-get", "-q", "update"], LOOK_WITHIN)
            wanted = ["apt-get", "-q", "-y", "install", "--no-install-recommends", "--download-only", "python3-venv"]
            run(["chroot", part, *wanted], LOOK_WITHIN)
            part.rename(root)
    return root


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Let nobody else make this root until the block ends."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{root}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def debootstrap(distribution: Distribution) -> list[object]:
    """Return the command up to its options: smallest, with systemd, and checked where the archive's key is here."""
    keys = Path("/usr/share/keyrings") / KEYS[distribution.mirror]
    checked = [f"--keyring={keys}"] if keys.exists() else ["--no-check-gpg"]  # it is only looked at, and thrown away
    components = ["--components=main,universe"] if distribution.mirror == UBUNTU else []
    return ["debootstrap", "--variant=minbase", "--include=systemd-sysv,ca-certificates", *checked, *components]


def script_of(distribution: Distribution) -> Path:
    """Return debootstrap's script, that of an older release where it does not know this one yet."""
    own = SCRIPTS / distribution.suite
    return own if own.exists() else SCRIPTS / distribution.like


def run(command: list[object], within: float = MAKE_WITHIN) -> None:
    """Run a command; raises RootError with its last words."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    try:
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=within, env=environment, check=False
        )
    except (subprocess.TimeoutExpired, FileNotFoundError) as error:
        raise RootError(str(error)) from error
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise RootError(f"{command[0]} failed: {' '.join(last)}")

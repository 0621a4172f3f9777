"""A minimal machine for the README's commands: a root of debootstrap below what is written there, and a checkout."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.installers import roots

ROOT = Path(__file__).resolve().parent.parent.parent
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")  # of the host, whose network may have its own
HANDED_ON = ("PIP_", "HTTP", "http", "no_proxy", "NO_PROXY")  # variables, or their beginnings, without which no network
USERS = {"root": 0, "tester": 1000}


@dataclass(frozen=True)
class Run:
    """What a command in a minimal machine ended with."""

    status: int
    output: str
    path: Path  # where that is kept


class Minimal:
    """A machine without systemd or anything else that the README does not ask for."""

    def __init__(self, distribution: roots.Distribution, user: str, directory: Path) -> None:
        """Lay it out: nothing is written but below `directory`, and nothing stays mounted between two commands."""
        self._lower, self._user, self._directory = roots.root_of(distribution), user, directory
        self._home = "/root" if user == "root" else f"/home/{user}"
        for part in ("upper", "work", "root"):
            (directory / part).mkdir(parents=True, exist_ok=True)

    def prepare(self, *packages: str) -> None:
        """Install what the README asks for, and bring a checkout that is the user's own."""
        shell = "apt-get -q update && apt-get -q -y install --no-install-recommends"
        self.run(f"{shell} {' '.join(packages)}", as_root=True, within=roots.MAKE_WITHIN).check()
        if self._user != "root":
            self.run(f"useradd --uid {USERS[self._user]} --create-home {self._user}", as_root=True).check()
        checkout = self._directory / "upper" / self._home.lstrip("/") / "checkout"
        roots.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, checkout])
        roots.run(["chown", "-R", f"{USERS[self._user]}:{USERS[self._user]}", checkout])

    def run(self, command: str, as_root: bool = False, within: float = 60.0, cut_off: bool = False) -> Checked:
        """Run a command of a shell in the checkout; whatever still runs after `within` seconds is killed.

        One that is cut off has a loopback interface of its own, on which nobody else opens ports, and no network.
        """
        user = "root" if as_root else self._user
        layers = f"lowerdir={self._lower},upperdir={self._directory}/upper,workdir={self._directory}/work"
        root, home = self._directory / "root", "/" if as_root else f"{self._home}/checkout"
        inside = f"cd {home} && exec 2>&1 && {command}"
        steps = [
            f"mount -t overlay overlay -o {layers} {root}",
            "ip link set lo up" if cut_off else ":",
            f"mount -t proc proc {root}/proc && mount --rbind /sys {root}/sys && mount --rbind /dev {root}/dev",
            f"cp --remove-destination /etc/resolv.conf {root}/etc/resolv.conf",
            f"cp {AUTHORITIES} {root}/etc/host-authorities.crt",
            'exec chroot "$0" setpriv --reuid="$1" --regid="$1" --clear-groups sh -c "$2"',
        ]
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", *(["--net"] if cut_off else [])]
        path = self._directory.with_name(f"{len(list(self._directory.parent.iterdir()))}-{command.split()[0]}.txt")
        with path.open("w+", errors="replace") as output:  # which can be read while it grows, and is kept
            process = subprocess.Popen(
                [*alone, "sh", "-ec", "\n".join(steps), str(root), str(USERS[user]), inside],
                env=_environment(user, self._home),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status = process.wait(within)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # and with unshare everything in its namespace
                process.wait()
                raise AssertionError(f"`{command}` did not end within {within:.0f} s: see {path}") from None
            output.seek(0)
            return Checked(status, output.read(), path)

    def close(self) -> None:
        """Remove everything that was written."""
        shutil.rmtree(self._directory, ignore_errors=True)


class Checked(Run):
    """A run that can be held to have gone well."""

    def failures(self) -> str:
        """Return which tests failed and with what: the names, and the lines that pytest marks."""
        return "\n".join(line[:300] for line in self.output.splitlines() if line.startswith(("____", "E   ")))

    def check(self) -> str:
        """Return what it printed; AssertionError if it did not end with 0."""
        assert self.status == 0, f"ended with {self.status}, see {self.path}:\n{self.failures()}\n{self.output[-3000:]}"
        return self.output


def _environment(user: str, home: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key.startswith(HANDED_ON)}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    own = {"PATH": path, "HOME": home, "USER": user, "LANG": "C.UTF-8", "PIP_CERT": "/etc/host-authorities.crt"}
    return {**kept, **own, "DEBIAN_FRONTEND": "noninteractive"}

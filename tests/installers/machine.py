"""A machine: a real systemd as PID 1 in systemd-nspawn, on layers of files, with the network of a scene."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.process import WITH_ITS_PARENT
from tests.namespaces import Namespace

BOOT_WITHIN, END_WITHIN = 60.0, 30.0  # seconds; it takes one or two
LOOK_AGAIN = 0.1  # seconds
BOOTED = ("running", "degraded", "active")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb"}
CONTAINERS = {**ENVIRONMENT, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}  # the environment of systemd-nspawn
HOSTS = "127.0.0.1 localhost\n"


class Machine:
    """A machine that can be booted, switched off and booted again; what it writes is in the uppermost layer only.

    The overlay is mounted in a mount namespace of the machine's own, so that nothing of it is left when it ends.
    """

    def __init__(
        self, layers: Sequence[Path], directory: Path, network: Namespace | None, shared: dict[Path, str]
    ) -> None:
        """Lay out the files: `layers` from top to bottom below what it writes, and what it sees of the host."""
        self.upper = directory / "upper"
        self.layers = [self.upper, *layers]
        self.console = directory / "console"
        self._network = network
        self._shared = shared
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.leader = 0
        for part in ("upper", "work", "root"):
            (directory / part).mkdir(parents=True, exist_ok=True)

    def refusal(self) -> str | None:
        """Return why no machine can be booted here, None if this one could."""
        try:
            self.boot()
            self.switch_off()
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            return str(error)
        finally:
            self.close()
        return None

    def boot(self, target: str = "") -> None:
        """Switch it on, and wait until its systemd has started everything, or has reached a target."""
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(
                self._container("--boot", "--console=read-only"),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=CONTAINERS,
            )
        self._wait_until_booted(["is-active", target] if target else ["is-system-running"])

    def run_unbooted(self, *command: object, within: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command as root in its files while it is off, as those do who make an image: no systemd runs there."""
        return subprocess.run(
            self._container("--as-pid2", "--pipe", *command), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=within, check=False, env=CONTAINERS,
        )  # fmt: skip

    def _container(self, *words: object) -> list[str]:
        """Return the command line of systemd-nspawn with these words, on the overlay that is mounted for it."""
        command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--drop-capability=CAP_SYS_TIME"]
        command += [f"--directory={self._directory / 'root'}", f"--machine=m{os.getpid()}"]
        command += [f"--bind-ro={path}:{there}" for path, there in self._shared.items()]
        if self._network is not None:
            command.append(f"--network-namespace-path=/proc/{os.getpid()}/fd/{self._network.descriptor}")
        options = f"lowerdir={':'.join(map(str, self.layers[1:]))},upperdir={self.upper},workdir={self._directory}/work"
        mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(self._directory / "root")]
        script = f"{shlex.join(mount)} && exec {shlex.join([*command, *map(str, words)])}"
        return [*WITH_ITS_PARENT, "unshare", "--mount", "sh", "-c", script]

    def run(
        self, *command: object, within: float = 60.0, check: bool = False, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root in it, without a terminal."""
        done = subprocess.run(
            self.entering(*command, **environment), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=within, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done

    def entering(self, *command: object, **environment: str) -> list[str]:
        """Return the command line that runs a command as root in it."""
        variables = [f"{name}={value}" for name, value in {**ENVIRONMENT, **environment}.items()]
        return ["nsenter", f"--target={self.leader}", "--all", "env", "-i", *variables, *map(str, command)]

    def switch_off(self) -> None:
        """Shut it down in order."""
        assert self._process is not None
        self.run("systemctl", "poweroff", "--no-wall")
        self._process.wait(END_WITHIN)
        self._process = None

    def close(self) -> None:
        """Pull the plug, if it still runs."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                if self.leader:
                    os.kill(self.leader, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_WITHIN)
            self._process.kill()
            self._process.wait()
            self._process = None

    def _wait_until_booted(self, question: Sequence[str]) -> None:
        assert self._process is not None
        self.leader, deadline, state = 0, time.monotonic() + BOOT_WITHIN, ""
        while state not in BOOTED:
            assert self._process.poll() is None, f"the machine ended:\n{self.console.read_text()}"
            assert time.monotonic() < deadline, f"the machine does not boot, it is {state}:\n{self.console.read_text()}"
            time.sleep(LOOK_AGAIN)
            self.leader = first_child(self._process.pid)
            if self.leader:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    state = self.run("systemctl", *question, within=10).stdout.strip()


def first_child(pid: int) -> int:
    """Return the id of a process's first child, 0 if it has none yet."""
    with contextlib.suppress(OSError):
        return int((Path(f"/proc/{pid}/task/{pid}/children").read_text().split() or ["0"])[0])
    return 0

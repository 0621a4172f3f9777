"""A Mac below a directory: its tools are stubs that keep state, and nothing else can be found by its installer."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = Path(__file__).resolve().parent / "tools"
SHELLS = {
    "bash": ["bash"],
    "bash 3.2": ["bash-3.2"],  # macOS's; elsewhere one that somebody built and put on the path under this name
    "bash --posix": ["bash", "--posix"],  # macOS's, when it is called as sh
}
BSD_TOOLS = """
    awk basename cat chmod cmp cp cut date df diff dirname du env expr find grep head install kill ln ls mkdir mktemp mv
    openssl printf ps readlink rm rmdir sed sleep sort stat tail tar tee touch tr uniq wc xargs
"""  # that is all: what Linux has besides, as getent, sha256sum or realpath, is not found
NAME = "amazon-defender-publisher"
LABEL = f"com.amazonaws.{NAME}"
ACCOUNT = "_amazon-defender"
TIMEOUT = 60.0  # seconds for one call; it takes some


class Mac:
    """A Mac, below `root`, whose installer runs in one of the shells."""

    def __init__(self, directory: Path, shell: Sequence[str], source: Path = ROOT) -> None:
        self.root, self.state, self.source = directory / "mac", directory / "state", source
        self.shell = [str(shutil.which(shell[0])), *shell[1:]]
        self.program = self.root / "opt" / "aws" / NAME
        self.etc = self.program / "etc"
        self.plist = self.root / "Library" / "LaunchDaemons" / f"{LABEL}.plist"
        self.rotation = self.root / "etc" / "newsyslog.d" / f"{LABEL}.conf"
        self.put_tools(self.root / "bin")
        self.add_account("_www", 70)

    def put_tools(self, directory: Path) -> None:
        """Put every tool that a Mac has into a directory."""
        for path in (directory, self.root / "usr" / "bin", self.root / "var" / "run", self.state / "dscl" / "Groups"):
            path.mkdir(parents=True)
        for tool in TOOLS.iterdir():
            (directory / tool.name).symlink_to(tool)
        for name in BSD_TOOLS.split():
            (directory / name).symlink_to(TOOLS / "bsd_tool")
        (directory / "python3").unlink()
        (self.root / "usr" / "bin" / "python3").symlink_to(TOOLS / "python3")

    def install(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the installer to its end."""
        return self.run("install-osx.bash", *arguments, **environment)

    def uninstall(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the uninstaller to its end."""
        return self.run("uninstall-osx.bash", *arguments, **environment)

    def run(self, script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the installers without a terminal; fail if it did what only works on Linux."""
        command = self.command(script, *arguments)
        done = subprocess.run(
            command, env=self.environment(**environment), capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=TIMEOUT, cwd=self.root, start_new_session=True,
        )  # fmt: skip
        assert [] == self.refused(), done.stderr
        assert "not found" not in done.stderr.replace("(eDSRecordNotFound)", "")
        return done

    def run_tool(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the Mac's tools."""
        words = [str(self.root / "bin" / name), *arguments]
        return subprocess.run(words, env=self.environment(), capture_output=True, text=True, check=False)

    def runs(self) -> bool:
        """Whether launchd says that the service runs."""
        return "state = running" in self.run_tool("launchctl", "print", f"system/{LABEL}").stdout

    def command(self, script: str, *arguments: object) -> list[str]:
        """Return the words that run a script of the installers below the directory."""
        words = [*self.shell, str(self.source / "installers" / script), "--prefix", str(self.root)]
        return [*words, *map(str, arguments)]

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of the installer: on the path there is nothing but the Mac's tools."""
        return {
            "PATH": str(self.root / "bin"), "HOME": "/var/root", "MAC_STATE": str(self.state),
            "MAC_ROOT": str(self.root), "MAC_TOOLS": str(TOOLS), "MAC_PYTHON": sys.executable, **more,
        }  # fmt: skip

    def refused(self) -> list[str]:
        """Return what was asked of a tool that macOS's does not know."""
        return self.lines("refused")

    def calls(self, tool: str) -> list[str]:
        """Return the words of each call of a tool that keeps state, in their order."""
        return [line.partition(" ")[2] for line in self.lines("log") if line.partition(" ")[0] == tool]

    def lines(self, name: str) -> list[str]:
        """Return the lines of a file of the state, none if it is not there."""
        path = self.state / name
        return path.read_text().splitlines() if path.exists() else []

    def add_account(self, name: str, number: int, **keys: str) -> None:
        """Add an account with a group of its own."""
        for kind, key in (("Users", "UniqueID"), ("Groups", "PrimaryGroupID")):
            record = self.state / "dscl" / kind / name
            record.mkdir(parents=True)
            (record / key).write_text(f"{number}\n")

    def account(self, kind: str = "Users", name: str = ACCOUNT) -> dict[str, str] | None:
        """Return the keys of an account or a group, None if there is none."""
        record = self.state / "dscl" / kind / name
        return {path.name: path.read_text().strip() for path in record.iterdir()} if record.is_dir() else None

    def accounts(self) -> list[str]:
        """Return the names of all accounts and groups."""
        return sorted(f"{path.parent.name}/{path.name}" for path in (self.state / "dscl").glob("*/*"))

    def job(self) -> dict[str, object] | None:
        """Return launchd's job, None if there is none."""
        path = self.state / "launchd.json"
        jobs: dict[str, dict[str, object]] = json.loads(path.read_text())["jobs"] if path.exists() else {}
        return jobs.get(LABEL)

    def version(self) -> str:
        """Return the version that is in force."""
        return (self.program / "current").readlink().name

    def owner(self, path: Path) -> str:
        """Return who a file was given to last, root where nobody was."""
        given = [line.rpartition(" ")[0].split() for line in self.lines("owners") if line.endswith(f" {path.name}")]
        return ([owner for owner, inode in given if int(inode) == path.stat().st_ino] or ["root"])[-1]

    def tree(self) -> dict[str, tuple[int, int, object]]:
        """Return everything below the directory, but for the tools: names, modes, times of files, contents."""
        return {
            str(path.relative_to(self.root)): (path.lstat().st_mode, time_of(path), content_of(path))
            for path in sorted(self.root.rglob("*")) if self.root / "bin" not in path.parents
        }  # fmt: skip

    def running(self) -> list[int]:
        """Return the ids of the programs that launchd started and that have not ended."""
        return [pid for pid in map(int, self.lines("pids")) if is_alive(pid)]

    def close(self) -> None:
        """End every program that launchd started."""
        for pid in map(int, self.lines("pids")):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def content_of(path: Path) -> object:
    """Return what tells a file, a link or a directory from another one."""
    return os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None


def time_of(path: Path) -> int:
    """Return when a file was written, 0 for a directory, which a lock may come and go in."""
    return 0 if path.is_dir() else path.lstat().st_mtime_ns


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and that nobody has asked for yet does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:  # where there is no /proc
        return sys.platform != "linux"
    except OSError:
        return False

"""What is said to be done is on the disk: the kernel was asked to write each file, and then its name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.publisher.provisioning.device import Device
from tests.waiting import PATIENCE

CALLS = "openat,open,rename,renameat,renameat2,symlink,symlinkat,fsync,fdatasync,close,unlink,unlinkat,mkdir,mkdirat"
OPENED = re.compile(r'open(?:at)?\((?:AT_FDCWD, )?"(?P<path>[^"]+)", (?P<flags>\S+?)[,)].* = (?P<number>\d+)')
RENAMED = re.compile(r'rename(?:at2?)?\((?:AT_FDCWD, )?"(?P<old>[^"]+)", (?:AT_FDCWD, )?"(?P<new>[^"]+)"')
LINKED = re.compile(r'symlink(?:at)?\("[^"]+", (?:AT_FDCWD, )?"(?P<path>[^"]+)"')
UNLINKED = re.compile(r'unlink(?:at)?\((?:AT_FDCWD, )?"(?P<path>[^"]+)".* = 0')
SYNCED = re.compile(r"f(?:data)?sync\((?P<number>\d+)\) += 0")

pytestmark = pytest.mark.slow


def trace(device: Device, option: str, path: Path) -> list[str]:
    """Run the program under strace; return its calls on files, in order."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace, to see what the kernel is asked for")
    command = ["strace", "-f", "-s", "500", "-e", f"trace={CALLS}", "-o", str(path)]
    program = [sys.executable, "-m", "tests.publisher.provisioning.ended", option, str(device.config)]
    done = subprocess.run(
        [*command, *program], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, env=os.environ, check=False
    )
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.splitlines()[0]}")
    assert 0 == done.returncode, done.stderr
    return path.read_text().splitlines()


class Disk:
    """What would be left after a power cut at any call: which files and names the kernel was asked to keep."""

    def __init__(self, etc: Path) -> None:
        self.etc = str(etc)
        self.descriptors: dict[tuple[str, str], str] = {}
        self.written: set[str] = set()  # files whose content was not asked to be kept
        self.moved: set[str] = set()  # directories in which a name changed that was not asked to be kept
        self.named: list[str] = []

    def take(self, line: str) -> None:
        """Take a call into account; raise AssertionError for a file that gets its name before its content is kept."""
        thread, call = line.split(maxsplit=1)
        if (found := OPENED.match(call)) and found["path"].startswith(self.etc):
            self.descriptors[thread, found["number"]] = found["path"]
            if "O_CREAT" in found["flags"] and "O_EXCL" in found["flags"]:
                self.written.add(found["path"])
        elif (found := SYNCED.match(call)) and (thread, found["number"]) in self.descriptors:
            path = self.descriptors[thread, found["number"]]
            self.written.discard(path)
            self.moved.discard(path)
        elif (found := RENAMED.match(call)) and found["new"].startswith(self.etc):
            assert found["old"] not in self.written, f"{found['new']} got its name before its content was kept"
            assert not self.moved - {str(Path(found["new"]).parent)}, f"{self.moved} are not kept before {found['new']}"
            self.moved.add(str(Path(found["new"]).parent))
            self.named.append(Path(found["new"]).name)
        elif (found := UNLINKED.match(call)) and found["path"].startswith(self.etc):
            self.moved.add(str(Path(found["path"]).parent))


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("option", ["--provision", "--rotate"])
def test_each_file_is_on_the_disk_before_its_name_and_each_name_before_the_next_step(
    device: Device, tmp_path: Path, option: str
) -> None:
    if option == "--rotate":
        assert 0 == device.run("--provision")
    disk = Disk(device.etc)
    for line in trace(device, option, tmp_path / "calls"):
        disk.take(line)
    assert (set(), set()) == (disk.written, disk.moved)
    assert {"private.key", "certificate.pem", "journal.json", "identity"} <= set(disk.named)

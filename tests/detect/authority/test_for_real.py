"""What the injected tests show of `init` and `add`, with a real SIGKILL and a real full disk (slow)."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("cryptography")

from defender_detect.authority.directory import Directory
from defender_detect.authority.record import read_record
from defender_detect.receive.revoked import read_listed
from tests.detect.authority.test_initialization import is_whole
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PROGRAM = ROOT / "amazon-defender-detect"
KILLS = 15
SEED = 20_261_130

pytestmark = pytest.mark.slow


def command(*words: object) -> list[str]:
    return [sys.executable, str(PROGRAM), *map(str, words)]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=PATIENCE)


def kill_somewhere(chance: random.Random, longest: float, *words: object) -> None:
    process = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(chance.uniform(longest / 3, longest))
    process.kill()
    process.wait()


def test_killed_anywhere_a_second_run_completes_it(tmp_path: Path) -> None:
    chance, began = random.Random(SEED), time.monotonic()
    assert run("init", tmp_path / "measured", "--listen", "localhost").returncode == 0
    longest = time.monotonic() - began
    for number in range(KILLS):
        home, bundle = tmp_path / f"{number}", tmp_path / f"{number}.tar"
        kill_somewhere(chance, longest, "init", home, "--listen", "localhost")
        assert run("init", home, "--listen", "localhost").returncode == 0
        assert is_whole(home)
        add = ("add", "rpi-0001", "--directory", home, "--output", bundle)
        kill_somewhere(chance, longest, *add)
        run(*add)
        record = read_record(Directory(home).record)
        assert record.current("rpi-0001") is not None
        assert bundle.exists()
        revoked = read_listed(Directory(home).revoked).serials
        assert 1 == len({int(each.serial, 16) for each in record.certificates} - revoked)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for little, of this test's own."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root, to mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("cannot mount a file system here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_is_a_sentence_and_with_room_it_goes_on(small_disk: Path) -> None:
    ballast, home = small_disk / "ballast", small_disk / "home"
    for left in range(0, 80, 4):  # kilobytes that are free
        ballast.write_bytes(b"\0" * (256 - left) * 1024) if left < 64 else ballast.unlink(missing_ok=True)
        done = run("init", home, "--listen", "localhost")
        if done.returncode == 0:
            break
        assert done.returncode == 78
        assert "No space left on device; make room (df -h " in done.stderr
        assert 1 == done.stderr.count("\n")
        ballast.unlink(missing_ok=True)
    assert left > 0
    assert is_whole(home)

"""A lock is one process's at a time, ends with it, and waits for nobody's trap."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from defender_daemon.lock import is_held, take
from tests.conftest import ROOT


def test_a_lock_is_taken_once_and_again_when_it_was_given_back(tmp_path: Path) -> None:
    path = tmp_path / "state" / "lock"
    assert not is_held(path)
    with take(path):
        assert is_held(path)
        with pytest.raises(OSError, match="unavailable|would block"):
            take(path)
    assert not is_held(path)
    take(path).close()


def test_a_lock_ends_with_the_process_that_had_it(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from defender_daemon.lock import take\n"
        "lock = take(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "lock"], cwd=ROOT, check=False)
    assert -9 == done.returncode
    assert not is_held(tmp_path / "lock")
    take(tmp_path / "lock").close()


def test_a_fifo_or_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("fifo", "link"):
        with pytest.raises(OSError, match=r"."):
            take(tmp_path / name)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("before", [None, 0o644, 0o600])
def test_a_private_lock_can_be_held_by_its_owner_only_also_one_of_an_earlier_release(
    tmp_path: Path, before: int | None
) -> None:
    """A lock can be held through a descriptor that may only read, by every user of the device."""
    path = tmp_path / "lock"
    if before is not None:
        path.touch()
        path.chmod(before)
    with take(path, private=True):
        assert 0o600 == path.stat().st_mode & 0o777


def test_a_lock_of_a_state_directory_may_be_looked_into_by_whoever_enters_it(tmp_path: Path) -> None:
    with take(tmp_path / "lock"):
        assert 0o444 == (tmp_path / "lock").stat().st_mode & 0o444

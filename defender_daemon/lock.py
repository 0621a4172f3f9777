"""The lock: one daemon at a time works with a state directory, and who asks finds out whether one does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import IO

from defender_daemon import files

ATTEMPTS, PAUSE = 5, 0.1  # times, seconds; someone who only asks whether a daemon runs has it for a moment


def take(path: Path, private: bool = False) -> IO[str]:
    """Take the lock, until what is returned is closed; makes its directory.

    Whoever may read a lock may hold it; a `private` one is its owner's alone, also in a directory that others read.
    Raises BlockingIOError if another holds it for longer than a moment, and OSError where there can be no lock.
    """
    lock = _open(path, private)
    try:
        _lock(lock)
    except BaseException:
        lock.close()
        raise
    return lock


def is_held(path: Path) -> bool:
    """Whether a daemon holds the lock; raises OSError for one that cannot be looked into.

    Asked by taking it for a moment, which a daemon that starts just then waits for.
    """
    try:
        with open(path, opener=files.open_regular) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def _open(path: Path, private: bool) -> IO[str]:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return open(path, "a", opener=_open_private if private else files.open_regular)
    except OSError:
        return open(path, opener=files.open_regular)  # a lock can be held on a file system that is read-only by now


def _open_private(path: str, flags: int) -> int:
    descriptor = files.open_regular(path, flags, 0o600)
    if os.fstat(descriptor).st_mode & 0o077:  # an earlier release made it
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, 0o600)
    return descriptor


def _lock(file: IO[str]) -> None:
    for _ in range(ATTEMPTS - 1):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(PAUSE)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

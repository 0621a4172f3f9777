"""A log file that is open, by what it is known again, and the rotated files beside it."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import stat

HEAD = 256  # bytes at a file's beginning by which it is known again
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


class UnusableFile(Exception):
    """What is at a path cannot be followed; says why."""


def is_same(path: str, file: int) -> bool:
    """Whether a path leads to a file that is open."""
    with contextlib.suppress(OSError):
        return os.path.samestat(os.stat(path), os.fstat(file))
    return False


def rotated(path: str) -> list[tuple[int, str]]:
    """Return the rotated files beside a log, in the order in which they were finished."""
    found = []
    for name in glob.glob(glob.escape(path) + "[.-][0-9]*"):
        with contextlib.suppress(OSError):
            found.append((os.stat(name).st_mtime_ns, name))
    return sorted(found)


def open_log(path: str) -> int | None:
    """Open a regular file, without waiting for anybody; None where there is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise UnusableFile(f"{path} is not a regular file")
    return file


def head_of(file: int) -> tuple[int, str]:
    """Return by what a file is known that is not read yet: by what there is of its beginning."""
    size = min(os.fstat(file).st_size, HEAD)
    return size, digest_of(file, size)


def digest_of(file: int, size: int) -> str:
    """Return the digest of a file's beginning; that of no bytes is the file's inode."""
    if not size:
        return f"inode {os.fstat(file).st_ino}"
    return hashlib.sha256(os.pread(file, size, 0)).hexdigest()

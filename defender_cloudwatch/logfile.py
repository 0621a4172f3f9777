"""A log file that is open, by what it is known again, and the rotated files beside it."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import stat
from typing import NamedTuple

HEAD = 256  # bytes at a file's beginning by which it is known again
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


class UnusableFile(Exception):
    """What is at a path cannot be followed; says why."""


def is_same(path: str, file: int) -> bool:
    """Whether a path leads to a file that is open."""
    with contextlib.suppress(OSError):
        return os.path.samestat(os.stat(path), os.fstat(file))
    return False


class Rotated(NamedTuple):
    """A rotated file as it was when it was looked at."""

    name: str
    status: os.stat_result

    @property
    def finished(self) -> int:
        """When it was written last, in nanoseconds."""
        return self.status.st_mtime_ns

    @property
    def is_compressed(self) -> bool:
        """Whether its lines cannot be read any more."""
        return self.name.endswith(COMPRESSED)


def rotated(path: str, names: str = "[.-][0-9]*") -> list[Rotated]:
    """Return the rotated files beside a log, in the order in which they were finished."""
    found = []
    for name in glob.glob(glob.escape(path) + names):
        with contextlib.suppress(OSError):
            found.append(Rotated(name, os.stat(name)))
    return sorted(found, key=lambda each: (each.finished, each.name))


def newest_beside(path: str, most: int) -> list[str]:
    """Return the files whose names begin with a log's, what was written last first, and not more than so many."""
    return [each.name for each in reversed(rotated(path, "?*")[-most:])]


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

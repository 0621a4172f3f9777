"""Files: plain ones of ordinary size are read, and each is written in one step.

Whoever installs is root, and what is read may be somebody else's: no FIFO is waited for, no device is read, and no
file is read beyond its ordinary size.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from problem import Problem

END = 16 * 1024  # bytes of what a service has said, of which a dozen lines are shown
LARGEST = 1_000_000  # bytes of a file that is taken over; a thousand times what keys and configurations have


def read_file(path: Path, largest: int = LARGEST, follow: bool = True) -> bytes:
    """Return what is in a plain file of ordinary size; `follow` is False where a lesser user can write."""
    with os.fdopen(open_plain(path, follow), "rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise Problem(f"{path} has more than {largest} bytes; what an installation takes over has less")
    return content


def read_end(path: Path, most: int = END) -> bytes:
    """Return the end of a plain file, which a lesser user writes and may have made as long as it likes."""
    with os.fdopen(open_plain(path, follow=False), "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - most))
        return file.read(most)


def open_plain(path: Path, follow: bool = True) -> int:
    """Return a descriptor of a file that is a plain one, also if it was replaced a moment ago."""
    refuse_special(path, os.stat(path, follow_symlinks=follow).st_mode)  # because to open a device may do something
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    try:
        refuse_special(path, os.fstat(descriptor).st_mode)
    except Problem:
        os.close(descriptor)
        raise
    return descriptor


def refuse_special(path: Path, mode: int) -> None:
    """Raise Problem for what is no plain file."""
    if not stat.S_ISREG(mode):
        raise Problem(f"{path} must be a file")


def write(path: Path, content: bytes, mode: int) -> None:
    """Write a file in one step: it has its mode from the beginning, and is the old one or the new one after a crash."""
    temporary = path.with_name(f".{path.name}.part")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask is
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Let the names in a directory be there after a power cut, too; a file's own fsync says nothing of its name."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files in a directory that another user may write to: never what a link leads to, never a FIFO that blocks.

Root asks for the status, and writes the state, where the service's user could have put anything in the file's place.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from functools import partial
from pathlib import Path

from defender_daemon.errors import Problem

SPACE_NEEDED = 64 * 1024  # bytes; a state and a status of some hundred interfaces
LONGEST = 16 * 1024 * 1024  # bytes; a state with ten thousand interfaces has two


def open_regular(path: str | os.PathLike[str], flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
    """Open a regular file, as the `opener` of `open`; raises OSError for a link, another kind of file, and a hard link.

    A file with a second name may be one that its directory's owner cannot read.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "Not a regular file of one name", str(path))


def read(path: Path, longest: int = LONGEST) -> bytes:
    """Return what is in a regular file, the last `longest` bytes of it at most."""
    with open(path, "rb", opener=open_regular) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - longest))
        return file.read(longest)


def replace(
    path: Path, content: bytes, sync: bool = False, mode: int | None = None, owner: tuple[int, int] | None = None
) -> None:
    """Give a file its new content whole, or leave it as it was; `sync` waits until the disk has it.

    With a `mode` the file has that one from the moment it exists, whatever the umask is; with an `owner` (user and
    group) it belongs to that one before it has its name.
    """
    temporary = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()  # of one that was killed, or whatever somebody put there
    try:
        with open(temporary, "xb", opener=partial(open_regular, mode=0o666 if mode is None else mode)) as file:
            if owner is not None and owner != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), *owner)
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if sync:
            sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()  # a half-written file on a full disk takes what others need
        if error.filename is None:  # where the disk is full
            error.filename = str(path)
        raise


def replace_link(path: Path, target: str) -> None:
    """Let a symbolic link lead to its new target in one step; returns when the disk has it."""
    temporary = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    os.symlink(target, temporary)
    os.replace(temporary, path)
    sync_directory(path.parent)


def remove(path: Path) -> None:
    """Remove a file, if it is there; returns when the disk has that."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Wait until the disk has the names in a directory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append(path: str, flags: int) -> int:
    """Open a log to be appended to, as the `opener` of `open`; a link is followed only if root or we made it."""
    try:
        return open_regular(path, flags)
    except OSError as error:
        if not os.path.islink(path) or os.lstat(path).st_uid not in (0, os.geteuid()):
            raise error from None
        return os.open(path, flags | os.O_CLOEXEC, 0o666)


def existing(path: Path) -> Path:
    """Return a directory, or the next one above it that is there."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


def writing_problem(directory: str) -> Problem | None:
    """Return what keeps everybody from writing into a directory: a full disk, or one that is read-only.

    One that is not there yet is made where it is needed, in the next one above it that is there.
    """
    try:
        found = os.statvfs(existing(Path(directory)))
    except OSError as error:
        return Problem(f"the directory {directory} cannot be used: {error.strerror}", "correct agent.state_directory")
    if found.f_flag & os.ST_RDONLY:
        return Problem(
            f"the file system of {directory} is read-only", f"look for its errors: dmesg, mount, df {directory}"
        )
    if found.f_bavail * found.f_frsize < SPACE_NEEDED or (found.f_files and not found.f_favail):
        return Problem(f"the file system of {directory} is full", f"make room: df -h {directory}; df -i {directory}")
    return None

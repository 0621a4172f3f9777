"""Files that nobody else may read: replaced whole or not at all, and never through a symbolic link."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infrastructure.errors import DeployError

_FILE_MODE, _DIRECTORY_MODE = 0o600, 0o700
_OTHERS = 0o077


def make_directory(path: Path) -> None:
    """Make a directory (0700, whatever the umask), and those above it; one that is there keeps its mode."""
    with _explained(path):
        if not _is_directory(path):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(_DIRECTORY_MODE)


def is_directory(path: Path) -> bool:
    """Tell whether there is a directory; one that may not be looked at is an error."""
    with _explained(path):
        return _is_directory(path)


@contextmanager
def lock_directory(path: Path) -> Iterator[None]:
    """Keep others who lock it away from a directory; a process that ends, however it does, leaves no lock.

    Whoever may read a directory may lock it, and for ever; so it is closed to others on the way.
    """
    with _explained(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _explained(path):
            if os.fstat(descriptor).st_mode & _OTHERS:
                with suppress(PermissionError):  # that of somebody who shares it
                    os.fchmod(descriptor, _DIRECTORY_MODE)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_file(path: Path) -> bytes | None:
    """Return a file's content, None without the file; what others could read is closed to them on the way."""
    with _explained(path):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if os.fstat(descriptor).st_mode & _OTHERS:
                os.fchmod(descriptor, _FILE_MODE)
            return file.read()


def write_file(path: Path, content: bytes) -> None:
    """Replace a file (0600, whatever the umask) so that after a power cut it is the old one or the new one.

    Two that write the same file at once have to take turns: see `lock_directory`.
    """
    new = path.with_name(f".{path.name}.tmp")
    with _explained(path):
        refuse_link(path)
        new.unlink(missing_ok=True)  # left by a run that was killed
        try:
            _write_through(new, content)
            new.replace(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        _sync(path.parent)


def rename_file(old: Path, new: Path, missing_ok: bool = False) -> None:
    """Give a file another name, so that after a power cut it has one of the two; with `missing_ok`, if it is there."""
    with _explained(new):
        refuse_link(new)
        try:
            old.replace(new)
        except FileNotFoundError:
            if not missing_ok:
                raise
        _sync(new.parent)


def remove_file(path: Path) -> None:
    """Remove a file that may not be there."""
    with _explained(path):
        refuse_link(path)
        path.unlink(missing_ok=True)


def refuse_link(path: Path) -> None:
    """Raise DeployError for a symbolic link, which could lead a private key anywhere."""
    if os.path.islink(path):  # which tells no error; what is done with the path does
        raise DeployError(f"{path} is a symbolic link, which no key is written to or read from: remove it")


def _is_directory(path: Path) -> bool:
    """Tell whether there is a directory; raises OSError where that cannot be seen, as Path.is_dir does up to 3.13."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _write_through(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, _FILE_MODE)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ELOOP:
            refuse_link(path)
        raise DeployError(f"{path} cannot be read or written: {error.strerror}") from error

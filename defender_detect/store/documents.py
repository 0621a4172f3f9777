"""The documents of a state directory: what was written by the API, a file of JSON for each."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from defender_detect.errors import StoreError

# Directories in the state directory.
PROFILES, METRICS, DIMENSIONS = "written-profiles", "written-metrics", "written-dimensions"
LOCK = ".lock"


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A security profile, what it is attached to, and what AWS keeps beside; or a custom metric, or a dimension."""

    name: str
    document: dict[str, Any]
    targets: list[str] = []
    version: int = 1
    created: float  # seconds since the epoch
    modified: float


class Documents:
    """The documents of one kind of a state directory; each is written whole or not at all."""

    def __init__(self, state_directory: str | Path, kind: str = PROFILES) -> None:
        self._directory = Path(state_directory) / kind

    def read(self) -> list[Written]:
        """Return all of them, by name; raises StoreError for a file that cannot be read."""
        found = []
        for path in self._paths():
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Written))
            except FileNotFoundError:  # it was deleted meanwhile
                continue
            except (OSError, msgspec.DecodeError, RecursionError) as error:
                raise StoreError(f"{path} cannot be read, move it away: {error}") from error
        return found

    def changes(self) -> object:
        """Return what is another one after something was written."""
        return [(path.name, stat.st_ino, stat.st_mtime_ns) for path in self._paths() if (stat := _stat(path))]

    def put(self, written: Written) -> None:
        """Write one; raises StoreError if that cannot be."""
        path = self._path_of(written.name)
        new = path.with_suffix(".new")
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(written)))
                file.flush()
                os.fsync(descriptor)
            os.replace(new, path)
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}") from error

    def delete(self, name: str) -> None:
        """Delete one; it may be gone already."""
        try:
            self._path_of(name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{self._path_of(name)} cannot be deleted: {error.strerror}") from error

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others from writing meanwhile, in this process or another."""
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            lock = open(self._directory / LOCK, "a")  # noqa: SIM115 - closed below, which lets others in
        except OSError as error:
            raise StoreError(f"{self._directory} cannot be written: {error.strerror}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _paths(self) -> list[Path]:
        return sorted(self._directory.glob("*.json"))

    def _path_of(self, name: str) -> Path:
        return self._directory / f"{name}.json"  # a profile's name has neither a slash nor a dot


class Kept(NamedTuple):
    """The documents of each kind of a state directory."""

    profiles: Documents
    metrics: Documents
    dimensions: Documents


def kept_in(state_directory: str | Path) -> Kept:
    """Return the documents of a state directory."""
    return Kept(*(Documents(state_directory, kind) for kind in (PROFILES, METRICS, DIMENSIONS)))


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None

"""The directory of a Detect with an authority of its own: what lies where in it, and how that is read and written.

Each file is replaced whole and is waited for until the disk has it: after a power cut it is the old one or the new one.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from defender_daemon import files
from defender_detect.errors import AuthorityError

DEFAULT = Path("/etc/amazon-defender-detect")
STATE_OF_SERVICE = "/var/lib/amazon-defender-detect"  # what the unit's StateDirectory is
PUBLIC, PRIVATE = 0o644, 0o600  # modes of files
OPEN, CLOSED = 0o755, 0o700  # modes of directories
LARGEST = 64 * 2**20  # bytes; a record of a hundred thousand certificates has 20 million
LEFT_BEHIND = ".new"  # what the name of a file ends with that a kill kept from its place


@dataclass(frozen=True)
class Directory:
    """Where everything is; the service reads all of it but `authority`."""

    path: Path

    @property
    def config(self) -> Path:
        """Detect's configuration, written last: where it is, everything is."""
        return self.path / "amazon-defender-detect.json"

    @property
    def roots(self) -> Path:
        """The authorities that Detect and its things trust."""
        return self.path / "roots.pem"

    @property
    def certificate(self) -> Path:
        """Detect's own certificate."""
        return self.path / "detect.pem"

    @property
    def key(self) -> Path:
        """Its private key."""
        return self.path / "detect.key"

    @property
    def revoked(self) -> Path:
        """Who is shut out of the built-in broker, a line each."""
        return self.path / "revoked.txt"

    @property
    def groups(self) -> Path:
        """The thing groups."""
        return self.path / "thing-groups.json"

    @property
    def profiles(self) -> Path:
        """The directory of the security profiles."""
        return self.path / "profiles"

    @property
    def over_the_air(self) -> Path:
        """Which things are to renew their certificates; it is there once that is allowed."""
        return self.path / "over-the-air.json"

    @property
    def mosquitto(self) -> Path:
        """What mosquitto reads, where it is the broker."""
        return self.path / "mosquitto"

    @property
    def authority(self) -> Path:
        """What nobody needs but who issues certificates."""
        return self.path / "authority"

    @property
    def authority_certificate(self) -> Path:
        """The authority's certificate."""
        return self.authority / "authority.pem"

    @property
    def authority_key(self) -> Path:
        """Its private key."""
        return self.authority / "authority.key"

    @property
    def record(self) -> Path:
        """The record of what was issued to things."""
        return self.authority / "issued.json"

    def others(self) -> list[str]:
        """Return the names of what lies here and is not of these, as a directory has them that is somebody else's."""
        ours = {
            each.name
            for each in (
                self.config, self.roots, self.certificate, self.key, self.revoked, self.groups, self.profiles,
                self.over_the_air, self.mosquitto, self.authority,
            )
        }  # fmt: skip
        with explained(self.path):
            found = sorted(each.name for each in self.path.iterdir())
        return [name for name in found if name not in ours and not name.endswith(LEFT_BEHIND)]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep another command that issues or revokes waiting meanwhile; a process that ends leaves no lock."""
        with explained(self.authority):
            try:
                descriptor = os.open(self.authority, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except FileNotFoundError as error:
                raise AuthorityError(
                    f"there is no {self.authority}: run amazon-defender-detect init, or name the directory that it made"
                ) from error
        try:
            with explained(self.authority):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def read(path: Path) -> bytes | None:
    """Return what is in a file, None without the file."""
    with explained(path):
        try:
            return files.read(path, LARGEST)
        except FileNotFoundError:
            return None


def write(path: Path, content: bytes, mode: int = PUBLIC) -> None:
    """Give a file its content and its mode in one step, and wait until the disk has it."""
    with explained(path):
        files.replace(path, content, sync=True, mode=mode)


def make_directory(path: Path, mode: int) -> None:
    """Make a directory with a mode, and those above it; one that is there keeps its mode."""
    with explained(path):
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(mode)
            files.sync_directory(path.parent)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system says of a file or directory into a sentence that says what to do."""
    try:
        yield
    except OSError as error:
        raise AuthorityError(f"{path}: {error.strerror}{_advice(error, path)}") from error


def _advice(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"; make room (df -h {path.parent}) and run this again"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "; run this as its owner, or with sudo"
    if error.errno in (errno.ELOOP, errno.EINVAL):
        return "; a link or a special file is neither followed nor replaced: remove it"
    return ""

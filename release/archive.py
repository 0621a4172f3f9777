"""Archives that come out the same, byte by byte, whoever builds them from a commit: the release tar is one."""

from __future__ import annotations

import gzip
import io
import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# What an operator needs. Tests, demo and benchmarks stay in the repository, and so does what a deployer needs.
OPERATORS = (
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "amazon-defender-cloudwatch",
    "amazon-defender-detect",
    "amazon-defender-publisher",
    "benchmarks/results.md",
    "configs",
    "defender_cloudwatch",
    "defender_daemon",
    "defender_detect",
    "defender_publisher",
    "defender_start.py",
    "device_defender",
    "installers",
    "pyproject.toml",
    "requirements.txt",
)
UMASK = "0022"  # of what is in a release, whatever that of whoever builds it
EXECUTABLE = "100755"  # git's mode; it knows no others for files, so that a umask does not matter
SYMBOLIC_LINK = "120000"
VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)


@dataclass(frozen=True)
class Member:
    """A file of an archive: its name there, what is in it, and whether it can be run."""

    name: str
    content: bytes
    executable: bool = False


class ReleaseError(Exception):
    """A release cannot be built; says why."""


def read_version(root: Path) -> str:
    """Return the version that the program in `root` says it has."""
    found = VERSION.search((root / "defender_publisher" / "__init__.py").read_text())
    if found is None:
        raise ReleaseError("defender_publisher/__init__.py has no line __version__ = ...")
    return found[1]


def read_tracked(root: Path, paths: Iterable[str] = OPERATORS) -> list[Member]:
    """Return the files below `paths` that git tracks, as they are in the work tree now."""
    lines = _git(root, "ls-files", "--stage", "-z", "--", *paths).split("\0")
    members = [_member(root, *line.split("\t", 1)) for line in lines if line]
    if not members:
        raise ReleaseError(f"git tracks nothing of a release in {root}")
    return sorted(members, key=lambda member: member.name)


def archive_commit(root: Path, directory: str, paths: Iterable[str] = OPERATORS) -> bytes:
    """Return what `git archive` makes of the last commit: a tar of the files below `paths`, below one directory."""
    read_tracked(root, paths)  # which refuses what a release cannot have
    there = [path for path in paths if _git(root, "ls-tree", "--name-only", "HEAD", path)]
    words = ("-c", f"tar.umask={UMASK}", "archive", "--format=tar", f"--prefix={directory}/", "HEAD", "--", *there)
    return _git_bytes(root, *words)


def changed_files(root: Path) -> list[str]:
    """Return the tracked files that are not as they were committed."""
    return _git(root, "diff", "--name-only", "-z", "HEAD").split("\0")[:-1]


def commit_time(root: Path) -> int:
    """Return when the last commit was made, in seconds since the epoch."""
    return int(_git(root, "log", "-1", "--format=%ct"))


def pack(directory: str, members: Iterable[Member], time: int) -> bytes:
    """Return a tar of the members below one directory, all of `time` and root's, which any tar can read."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for member in members:
            archive.addfile(_header(f"{directory}/{member.name}", member, time), io.BytesIO(member.content))
    return content.getvalue()


def compress(content: bytes) -> bytes:
    """Return the content as gzip has it, without a name or a time of its own."""
    return gzip.compress(content, mtime=0)


def members_of(paths: Iterable[Path]) -> Iterator[Member]:
    """Yield files as members, by their names."""
    for path in sorted(paths, key=lambda path: path.name):
        yield Member(path.name, path.read_bytes())


def _member(root: Path, stage: str, name: str) -> Member:
    mode = stage.split()[0]
    if mode == SYMBOLIC_LINK:
        raise ReleaseError(f"{name} is a symbolic link, which a release cannot have")
    return Member(name, (root / name).read_bytes(), mode == EXECUTABLE)


def _header(name: str, member: Member, time: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mtime, header.mode = len(member.content), time, 0o755 if member.executable else 0o644
    header.uname = header.gname = "root"
    return header


def _git(root: Path, *arguments: str) -> str:
    return _git_bytes(root, *arguments).decode("utf-8", "surrogateescape")


def _git_bytes(root: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise ReleaseError("a release is built from a git checkout, and git is not installed") from error
    if done.returncode:
        raise ReleaseError(f"a release is built from a git checkout: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout

"""Whatever another user puts in a file's place, nobody reads, overwrites or waits for anything but a file of ours."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from defender_daemon import files


def link(path: Path) -> None:
    (path.parent / "precious").write_text("precious")
    path.symlink_to(path.parent / "precious")


def second_name(path: Path) -> None:
    (path.parent / "precious").write_text("precious")
    path.hardlink_to(path.parent / "precious") if hasattr(path, "hardlink_to") else os.link(
        path.parent / "precious", path
    )


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


TRAPS: dict[str, Callable[[Path], None]] = {
    "a link": link,
    "a hard link": second_name,
    "a FIFO": os.mkfifo,
    "a socket": listen,
    "a directory": Path.mkdir,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.fixture(params=TRAPS)
def trap(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    return TRAPS[request.param]


def test_what_is_no_regular_file_is_read_by_nobody(tmp_path: Path, trap: Callable[[Path], None]) -> None:
    trap(tmp_path / "f")
    with pytest.raises(OSError, match=r"."):
        files.read(tmp_path / "f")


def test_a_file_with_a_mode_is_never_open_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes, open_file = [], os.open

    def noted(path: str, flags: int, mode: int = 0o777) -> int:
        descriptor = open_file(path, flags, mode)
        if flags & os.O_CREAT:
            modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return descriptor

    monkeypatch.setattr(os, "open", noted)
    before = os.umask(0)
    try:
        files.replace(tmp_path / "private.key", b"secret", mode=0o600)
    finally:
        os.umask(before)
    assert [0o600] == modes, "from the moment that it exists"
    assert 0o600 == stat.S_IMODE((tmp_path / "private.key").stat().st_mode)


def test_where_a_disk_is_full_the_error_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left") as raised:
        files.replace(tmp_path / "f", b"1", sync=True)
    assert (str(tmp_path / "f"), []) == (raised.value.filename, list(tmp_path.iterdir()))


def test_the_end_of_a_long_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    assert b"789" == files.read(tmp_path / "f", 3)
    assert b"0123456789" == files.read(tmp_path / "f")


def test_a_file_is_replaced_whatever_stands_in_the_way(tmp_path: Path, trap: Callable[[Path], None]) -> None:
    path = tmp_path / "f.json"
    trap(tmp_path / ".f.json.new")
    if (tmp_path / ".f.json.new").is_dir():
        with pytest.raises(OSError, match=r"."):
            files.replace(path, b"new")
        return
    files.replace(path, b"new")
    assert b"new" == path.read_bytes()
    assert not (tmp_path / ".f.json.new").exists()
    if (tmp_path / "precious").exists():
        assert "precious" == (tmp_path / "precious").read_text()


@pytest.mark.parametrize("there", ["", "state", "no/state"])
def test_what_keeps_a_directory_from_being_written_is_found_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    asked = []

    def read_only(path: Path) -> os.statvfs_result:
        asked.append(path)
        return os.statvfs_result((4096, 4096, 9, 9, 9, 9, 9, 9, os.ST_RDONLY, 255))

    assert files.writing_problem(str(tmp_path / there)) is None
    monkeypatch.setattr(os, "statvfs", read_only)
    problem = files.writing_problem(str(tmp_path / there))
    assert [tmp_path] == asked
    assert problem is not None
    assert problem.says.endswith("is read-only")

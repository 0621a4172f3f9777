"""Whatever another user puts in a file's place, nobody reads, overwrites or waits for anything but a file of ours."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from defender_daemon import files
from defender_daemon.logfile import LogFile
from defender_daemon.status import StatusError
from defender_publisher.state import LOCK_FILE, STATE_FILE, StateFile, publisher_runs
from defender_publisher.status import STATUS_FILE, read_status


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


@pytest.mark.timeout(60)
def test_the_state_its_lock_and_the_status_wait_for_nobody(tmp_path: Path, trap: Callable[[Path], None]) -> None:
    for name in (STATE_FILE, LOCK_FILE, STATUS_FILE):
        directory = tmp_path / name
        directory.mkdir()
        trap(directory / name)
        with StateFile(directory) as store:
            state = store.load("t")
            store.save(state)
        if name == STATUS_FILE:
            with pytest.raises(StatusError):
                read_status(directory)
        if name == LOCK_FILE:
            with pytest.raises(OSError, match=r"."):
                publisher_runs(directory)
        if (directory / "precious").exists():
            assert "precious" == (directory / "precious").read_text()


def test_a_log_goes_where_a_link_of_ours_leads_and_nowhere_that_another_users_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").write_text("")
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    LogFile(str(tmp_path / "log"), 1000, 1).close()
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr(os, "lstat", lambda path: os.stat_result((0, 0, 0, 0, 1234, *[0] * 5)))
    with pytest.raises(OSError, match="[Ss]ymbolic"):
        files.append(str(tmp_path / "log"), os.O_WRONLY | os.O_APPEND)


def test_a_log_that_is_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    with pytest.raises(OSError, match=r"."):
        LogFile(str(tmp_path / "log"), 1000, 1)

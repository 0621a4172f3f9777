"""A log file goes on, whatever its disk and its neighbors do."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from pathlib import Path

import pytest

from defender_daemon import files
from defender_daemon.logfile import LogFile
from tests.daemon.test_logs import loggers_as_before as loggers_as_before


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


def test_a_disk_that_is_full_sends_the_log_to_standard_error_until_it_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = LogFile(str(tmp_path / "log"), 10_000, 2)
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.info("one")
    stream = handler.stream
    handler.stream = open("/dev/full", "a")  # noqa: SIM115 - what a full disk is to a program
    logger.info("two")
    logger.info("three")
    full, handler.stream = handler.stream, stream
    logger.info("four")
    handler.close()
    with contextlib.suppress(OSError):
        full.close()  # what could not be written is still in its buffer
    said = capsys.readouterr().err
    assert os.strerror(errno.ENOSPC) in said
    assert 1 == said.count("cannot be written")
    assert "two" in said
    assert "three" in said
    assert "Traceback" not in said
    one, four, again = (tmp_path / "log").read_text().splitlines()
    assert ("one", "four") == (one, four)
    assert "is written again" in again

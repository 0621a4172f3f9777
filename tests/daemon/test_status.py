"""What a daemon says of itself in its status file."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from defender_daemon.status import LastErrorHandler
from defender_publisher.settings import Settings
from defender_publisher.status_file import StatusFile
from tests.publisher.test_status_file import settings_in


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


def test_the_last_error_is_that_of_the_log_and_counted_while_it_is_the_same(tmp_path: Path, settings: Settings) -> None:
    status = StatusFile(settings, str(tmp_path))
    logger = logging.Logger("test")
    logger.addHandler(LastErrorHandler(status))
    logger.info("fine")
    assert status.now.last_error is None
    for number in range(3):
        logger.warning("not connected; next attempt in %d s", number)
    assert ("not connected; next attempt in 2 s", 3) == (status.now.last_error.text, status.now.last_error.count)
    logger.error("the disk is full")
    assert ("the disk is full", 1) == (status.now.last_error.text, status.now.last_error.count)


def test_an_error_as_long_as_a_report_does_not_make_the_file_as_long(tmp_path: Path, settings: Settings) -> None:
    StatusFile(settings, str(tmp_path)).note_error("given up: " + "x" * 100_000)
    assert (tmp_path / "status.json").stat().st_size < 3000

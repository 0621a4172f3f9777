"""The status file, and what is said of the daemon from it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest

from defender_publisher.settings import Settings, read_settings
from defender_publisher.state import State
from defender_publisher.status import read_status
from defender_publisher.status_file import StatusFile

INTERVAL = 300


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


def settings_in(directory: Path, **agent: object) -> Settings:
    given = {"dry_run": True, "thing_name": "t", "state_directory": str(directory), **agent}
    return read_settings(None, {"agent": given})


def test_what_becomes_of_reports_and_connections_is_in_the_file(tmp_path: Path, settings: Settings) -> None:
    status = StatusFile(settings, str(tmp_path))
    status.connected()
    status.reported(1, "accepted", 0.25)
    status.reported(2, "rejected: Throttled")
    status.reported(3, "unanswered")
    status.failed()
    status.disconnected()
    status.connected()
    status.reported(4, "delivered")
    before = time.time()
    status.next_report(300)
    after = time.time()
    read = read_status(tmp_path)
    assert read is not None
    assert status.now == read
    assert (2, 1, 2, 1) == msgspec.structs.astuple(read.counts)
    assert (4, "delivered") == (read.last_report.report_id, read.last_report.verdict)
    assert 4 == read.last_accepted.report_id
    assert read.connection.connected
    assert before + 300 <= read.next_report + 0.1  # which may be rounded
    assert read.next_report - 0.1 <= after + 300
    assert ("t", INTERVAL, os.getpid()) == (read.thing_name, read.interval, read.pid)


def test_each_change_is_announced_in_one_line_once(settings: Settings) -> None:
    lines: list[str] = []
    status = StatusFile(settings, announce=lines.append)
    status.connected()
    status.next_report(10)
    status.next_report(20)
    status.reported(7, "accepted", 0.1)
    assert ["not connected, nothing reported yet", "connected, nothing reported yet"] == lines[:2]
    assert 3 == len(lines)
    assert lines[2].startswith("connected, report 7 accepted at ")


def test_a_reload_keeps_the_counts_and_the_time_of_the_start(tmp_path: Path, settings: Settings) -> None:
    before = StatusFile(settings, str(tmp_path))
    before.connected()
    before.reported(1, "accepted", 0.1)
    after = StatusFile(settings_in(tmp_path, publish_interval=600), str(tmp_path), State("t"), before)
    after.connected()
    assert before.now.since == after.now.since
    assert (1, 0, 0, 1) == msgspec.structs.astuple(after.now.counts)
    assert 1 == after.now.last_accepted.report_id
    assert before.now.config_hash != after.now.config_hash


def test_a_start_knows_when_an_earlier_run_was_last_heard(tmp_path: Path, settings: Settings) -> None:
    assert 123.0 == StatusFile(settings, str(tmp_path), State("t", accepted_at=123.0)).now.last_accepted.time


def test_a_directory_that_cannot_be_written_stops_nothing(settings: Settings) -> None:
    status = StatusFile(settings, "/proc/nowhere")
    status.reported(1, "accepted", 0.1)
    assert 1 == status.now.counts.accepted

"""A daemon's health is told from its status file, its lock and the clock."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from defender_daemon.certificate import AS_OWNER
from defender_daemon.health import HEALTHY, LATE, NOT_RUNNING
from defender_publisher import health
from defender_publisher.errors import Problem
from defender_publisher.settings import Settings
from defender_publisher.state import State, StateFile
from defender_publisher.status import read_status
from defender_publisher.status_file import StatusFile
from tests.publisher.test_status_file import settings_in

INTERVAL = 300


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


def test_healthy_is_a_daemon_with_a_report_accepted_within_two_intervals(tmp_path: Path, settings: Settings) -> None:
    with StateFile(tmp_path):
        status = StatusFile(settings, str(tmp_path), State("t", accepted_at=time.time() - 2 * INTERVAL + 60))
        assert HEALTHY == health.examine(settings).health
        status.reported(1, "accepted", 0.1)
        assert HEALTHY == health.examine(settings).health


@pytest.mark.parametrize("accepted_at", [None, -2 * INTERVAL - 5.0])
def test_late_is_a_daemon_without_one(tmp_path: Path, settings: Settings, accepted_at: float | None) -> None:
    with StateFile(tmp_path):
        at = None if accepted_at is None else time.time() + accepted_at
        StatusFile(settings, str(tmp_path), State("t", accepted_at=at))
        assert LATE == health.examine(settings).health


@pytest.mark.parametrize(("seconds", "expected"), [(0, "healthy"), (610, "healthy"), (910, "late")])
def test_a_daemon_whose_first_report_came_too_soon_is_not_late_until_the_next_ones_are(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, seconds: float, expected: str
) -> None:
    """It was started without state within 300 s of its last report, and so reports again after two intervals."""
    with StateFile(tmp_path):
        status = StatusFile(settings, str(tmp_path))
        status.connected()
        status.reported(1, "rejected: Throttled")
        status.proven(1)
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + seconds)
        found = health.examine(settings)
        lines = "\n".join(health.describe(found))
    assert expected == found.health
    assert "last accepted  none yet; the last one came too soon after one from before the start" in lines


def test_healthy_without_a_connection_says_both(tmp_path: Path, settings: Settings) -> None:
    with StateFile(tmp_path):
        status = StatusFile(settings, str(tmp_path))
        status.connected()
        status.reported(1, "accepted", 0.1)
        status.disconnected()
        first = next(health.describe(health.examine(settings)))
    assert first.startswith("healthy, not connected: amazon-defender-publisher ")


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [("a1-ats.iot.eu-west-1.amazonaws.com", "AWS IoT Device Defender"), ("broker.example.com", "broker.example.com")],
)
def test_who_accepted_a_report_is_named_as_it_is(tmp_path: Path, endpoint: str, expected: str) -> None:
    settings = settings_in(tmp_path, authentication={"endpoint": endpoint})
    with StateFile(tmp_path):
        StatusFile(settings, str(tmp_path)).reported(1, "accepted", 0.1)
        found = health.examine(settings)
    assert expected == found.service
    assert f"ago, by {expected}" in "\n".join(health.describe(found))


def test_a_key_that_is_lost_is_why_no_daemon_runs(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, authentication={"private_key": str(tmp_path / "private.key")})
    found = health.examine(settings)
    assert (
        f"agent.authentication.private_key must be a readable file: {tmp_path}/private.key: No such file or directory"
        == (found.problem.says)
    )
    lines = list(health.describe(found))
    assert "next step      amazon-defender-publisher doctor" == lines[-1]
    assert any(line.startswith("problem ") for line in lines)


def test_a_key_that_others_may_not_read_is_no_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "file_problems", lambda given: [Problem("the key: Permission denied", AS_OWNER)])
    assert None is health.examine(settings_in(tmp_path)).problem


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"f_bavail": 0}, "is full"),
        ({"f_favail": 0, "f_files": 1000}, "is full"),
        ({"f_flag": os.ST_RDONLY}, "is read-only"),
    ],
)
def test_a_disk_that_is_full_or_read_only_is_named(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, change: dict[str, int], expected: str
) -> None:
    names = ("f_bavail", "f_frsize", "f_files", "f_favail", "f_flag")
    well = {name: getattr(os.statvfs(tmp_path), name) for name in names}
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(**{**well, **change}))
    with StateFile(tmp_path):
        found = health.examine(settings)
    assert (LATE, True) == (found.health, expected in found.problem.says)


def test_who_waits_gets_the_health_as_soon_as_the_first_report_has_a_verdict(
    tmp_path: Path, settings: Settings
) -> None:
    with StateFile(tmp_path):
        status = StatusFile(settings, str(tmp_path))
        assert None is health.wait_for_verdict(settings, 0.0).status.last_report
        threading.Timer(0.3, status.reported, [7, "rejected: InvalidPayload"]).start()
        assert 7 == health.wait_for_verdict(settings, 60.0).status.last_report.report_id


def test_a_verdict_of_a_daemon_that_has_ended_is_not_what_one_waits_for(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    StatusFile(settings, str(tmp_path)).reported(7, "accepted")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    before = read_status(tmp_path)
    (tmp_path / "status.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(before, pid=ended.pid)))
    looks: list[float] = []
    monkeypatch.setattr(time, "sleep", looks.append)
    monkeypatch.setattr(time, "monotonic", lambda: float(len(looks)))
    with StateFile(tmp_path):
        health.wait_for_verdict(settings, 3.0)
    assert 3 == len(looks)


def test_a_clock_that_was_set_makes_no_daemon_late(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StateFile(tmp_path):
        StatusFile(settings, str(tmp_path)).reported(1, "accepted", 0.1)
        now = time.time()
        for step in (-3600.0, 3600.0):
            monkeypatch.setattr(time, "time", lambda step=step: now + step)
            assert HEALTHY == health.examine(settings).health


def test_not_running_is_told_by_the_lock_whatever_the_file_says(tmp_path: Path, settings: Settings) -> None:
    assert NOT_RUNNING == health.examine(settings).health
    with StateFile(tmp_path):
        StatusFile(settings, str(tmp_path)).reported(1, "accepted", 0.1)
    found = health.examine(settings)
    assert NOT_RUNNING == found.health
    assert "and has ended" in next(health.describe(found))


@pytest.mark.usefixtures("stopped_clock")
def test_a_person_reads_the_daemons_health(tmp_path: Path, settings: Settings) -> None:
    with StateFile(tmp_path):
        status = StatusFile(settings, str(tmp_path))
        status.connected()
        status.reported(7, "accepted", 0.0344)
        status.note_error("no network")
        status.note_error("no network")
        status.next_report(90)
        lines = "\n".join(health.describe(health.examine(settings)))
    assert f"healthy: amazon-defender-publisher 0.1.0 for t, process {os.getpid()}, running for 0:00:00" in lines
    assert "last report    7 accepted after 0.034 s, 0:00:00" in lines
    assert "next report    in 0:01:" in lines
    assert "1 accepted, 0 rejected, 0 failed; 0 reconnects" in lines
    assert "no network (2 times)" in lines
    assert "changed" not in lines


def test_a_configuration_that_changed_since_the_start_is_said(tmp_path: Path, settings: Settings) -> None:
    with StateFile(tmp_path):
        StatusFile(settings, str(tmp_path))
        found = health.examine(settings_in(tmp_path, debug=True))
    assert f"has changed since, or options override it; kill -HUP {os.getpid()}" in "\n".join(health.describe(found))

"""How the CloudWatch job is, for a person and for a program."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from defender_cloudwatch import health
from defender_cloudwatch.config import Settings
from defender_cloudwatch.service import LOCK
from defender_cloudwatch.status import LOGS, METRICS, STATUS_FILE, StatusFile
from defender_daemon import lock
from defender_daemon.health import HEALTHY, LATE, NOT_RUNNING, as_json
from defender_daemon.status import StatusError
from tests.cloudwatch.test_status import settings_in


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


def lines_of(settings: Settings) -> str:
    return "\n".join(health.describe(health.examine(settings)))


def test_healthy_is_a_daemon_whose_channels_worked_within_two_intervals(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lock.take(settings.state_directory / LOCK):
        status = StatusFile(settings)
        assert LATE == health.examine(settings).health
        status.worked(METRICS, 14)
        assert LATE == health.examine(settings).health
        status.worked(LOGS, 0)
        assert HEALTHY == health.examine(settings).health
        assert f"healthy: amazon-defender-cloudwatch 0.1.0 for t, process {os.getpid()}, running" in lines_of(settings)
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 2 * 60 + 5)
        assert LATE == health.examine(settings).health  # the logs
    assert NOT_RUNNING == health.examine(settings).health


@pytest.mark.usefixtures("stopped_clock")
def test_a_person_reads_the_daemons_health(settings: Settings) -> None:
    with lock.take(settings.state_directory / LOCK):
        status = StatusFile(settings)
        status.worked(METRICS, 14)
        status.worked(LOGS, 3)
        status.rejected(1)
        status.note_error("no network")
        found = lines_of(settings)
    assert "metrics        worked 0:00:00 ago, every 300 s; 14 values sent; 0 turns failed" in found
    assert "logs           worked 0:00:00 ago, every 10 s; 3 events sent, 1 rejected; 0 turns failed" in found
    assert "ago: no network" in found
    assert "next step" not in found


def test_a_program_reads_the_same(settings: Settings) -> None:
    StatusFile(settings).worked(METRICS, 14)
    found = json.loads("\n".join(as_json(health.examine(settings))))
    assert ("not running", 14) == (found["health"], found["status"]["metrics"]["sent"])
    assert found["logs_ago"] is None


def test_what_has_never_run_is_said_with_what_to_do_next(settings: Settings) -> None:
    found = lines_of(settings)
    assert f"not running: no daemon has written a status into {settings.state_directory}" in found
    assert "next step      amazon-defender-cloudwatch doctor" in found


def test_a_damaged_status_is_one_sentence(settings: Settings) -> None:
    (settings.state_directory / STATUS_FILE).write_text("{")
    with pytest.raises(StatusError, match="is damaged .*the program's next turn repairs it"):
        health.examine(settings)

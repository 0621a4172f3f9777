"""The status file, and what is said of the daemon from it."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from defender_cloudwatch import health
from defender_cloudwatch.config import Settings, read_settings
from defender_cloudwatch.service import LOCK, Service
from defender_cloudwatch.status import LOGS, METRICS, STATUS_FILE, StatusFile, config_hash, read_status
from defender_daemon import lock
from defender_daemon.health import HEALTHY, LATE, NOT_RUNNING, as_json
from defender_daemon.status import StatusError
from tests.cloudwatch.doubles import Double

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "eu-west-1"}


def settings_in(directory: Path, endpoint: str = "", **agent: Any) -> Settings:
    given = {"thing_name": "t", "state_directory": str(directory / "state"), **agent}
    entry = {"file_path": str(directory / "a.log"), "from": "start"}
    logs = {"logs_collected": {"files": {"collect_list": [entry]}}}
    (directory / "config.json").write_text(json.dumps({"agent": given, "metrics": {"namespace": "X"}, "logs": logs}))
    (directory / "state").mkdir(exist_ok=True)
    return read_settings(directory / "config.json", {**ENVIRONMENT, "AWS_ENDPOINT_URL": endpoint})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


def lines_of(settings: Settings) -> str:
    return "\n".join(health.describe(health.examine(settings)))


def test_what_becomes_of_turns_is_in_the_file(settings: Settings) -> None:
    status = StatusFile(settings)
    status.worked(METRICS, 14)
    status.worked(LOGS, 3)
    status.worked(LOGS, 4)
    status.failed(LOGS)
    status.rejected(2)
    status.followed(5)
    read = read_status(settings.state_directory)
    assert status.now == read
    assert read is not None
    assert read.metrics is not None
    assert read.logs is not None
    assert (14, 0) == (read.metrics.sent, read.metrics.failed)
    assert (7, 1, 2, 5) == (read.logs.sent, read.logs.failed, read.logs.rejected, read.sources)


def test_a_turn_with_nothing_to_send_is_no_reason_to_write(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    status = StatusFile(settings)
    status.worked(LOGS, 0)
    written = (settings.state_directory / STATUS_FILE).read_bytes()
    status.worked(LOGS, 0)
    assert written == (settings.state_directory / STATUS_FILE).read_bytes()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    status.worked(LOGS, 0)
    assert written != (settings.state_directory / STATUS_FILE).read_bytes()


def test_each_change_is_announced_in_one_line_once(settings: Settings) -> None:
    lines: list[str] = []
    status = StatusFile(settings, announce=lines.append)
    status.failed(LOGS)
    status.failed(LOGS)
    status.worked(METRICS, 14)
    assert [
        "metrics not sent yet; logs not sent yet",
        "metrics not sent yet; logs failed",
        "metrics sent 14; logs failed",
    ] == lines


def test_a_reload_keeps_the_counts_and_the_time_of_the_start(tmp_path: Path, settings: Settings) -> None:
    before = StatusFile(settings)
    before.worked(LOGS, 3)
    after = StatusFile(settings_in(tmp_path, logs_collection_interval=60), before)
    assert before.now.since == after.now.since
    assert after.now.logs is not None
    assert (3, 60) == (after.now.logs.sent, after.now.logs.interval)
    assert before.now.config_hash != after.now.config_hash


def test_the_hash_does_not_tell_where_the_key_is(tmp_path: Path, settings: Settings) -> None:
    other = settings_in(tmp_path, authentication={"private_key": "/run/credentials/key"})
    assert config_hash(settings) == config_hash(other)
    assert config_hash(settings) != config_hash(settings_in(tmp_path, debug=True))


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


def opened(path: Path) -> bool:
    """Whether this process has a file open."""
    return path.stat().st_ino in {os.stat(fd).st_ino for fd in descriptors()}


def descriptors() -> list[int]:
    found = []
    for fd in range(256):
        with contextlib.suppress(OSError):
            os.fstat(fd)
            found.append(fd)
    return found


def test_a_service_tells_what_becomes_of_its_turns(tmp_path: Path) -> None:
    with Double(lambda request, client: (200, {})) as aws:
        settings = settings_in(tmp_path, f"http://127.0.0.1:{aws.port}")
        (tmp_path / "a.log").write_text("one\ntwo\n")
        progress: list[str] = []
        status = StatusFile(settings, progress=lambda: progress.append(threading.current_thread().name))
        service = Service(settings, status)
        service.send_logs()
        service.send_metrics()
        aws.answer = lambda request, client: (500, {"__type": "InternalFailure"})
        service.send_metrics()
        assert opened(tmp_path / "a.log")
        service.close()
        assert not opened(tmp_path / "a.log")
    assert status.now.logs is not None
    assert status.now.metrics is not None
    assert (2, 0) == (status.now.logs.sent, status.now.logs.failed)
    assert status.now.metrics.sent > 5
    assert 1 == status.now.metrics.failed
    assert 1 == status.now.sources
    assert {threading.current_thread().name} == set(progress)

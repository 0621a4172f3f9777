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

from defender_cloudwatch.config import Settings, read_settings
from defender_cloudwatch.service import Service
from defender_cloudwatch.status import LOGS, METRICS, STATUS_FILE, StatusFile, config_hash, read_status
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

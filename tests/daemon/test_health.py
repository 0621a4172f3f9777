"""A daemon's health as a program reads it."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from defender_daemon.health import LATE, as_json
from defender_publisher import health
from defender_publisher.settings import Settings
from defender_publisher.state import StateFile
from defender_publisher.status_file import StatusFile
from tests.publisher.test_status_file import settings_in


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


def test_a_program_reads_the_same(tmp_path: Path, settings: Settings) -> None:
    with StateFile(tmp_path):
        began = time.monotonic()
        StatusFile(settings, str(tmp_path)).reported(7, "accepted", 0.5)
        found = msgspec.json.decode("\n".join(as_json(health.examine(settings))))
    assert "healthy" == found["health"]
    assert 0 <= found["accepted_ago"] <= time.monotonic() - began + 0.1  # which may be rounded
    assert {"report_id": 7, "verdict": "accepted", "seconds": 0.5} == {
        key: value for key, value in found["status"]["last_report"].items() if key != "time"
    }


def test_asking_keeps_no_daemon_from_starting(tmp_path: Path, settings: Settings) -> None:
    with StateFile(tmp_path):
        pass
    for _ in range(20):
        health.examine(settings)
        with StateFile(tmp_path):
            assert LATE == health.examine(settings).health

"""Alerts in the log."""

from __future__ import annotations

import logging

import pytest

from defender_detect.alerts.queue import Alerts
from tests.detect.store.test_store import event


def test_the_log_has_a_line_for_each(caplog: pytest.LogCaptureFixture) -> None:
    alerts = Alerts()
    with caplog.at_level(logging.INFO):
        alerts.tell(event())
        alerts.tell(event("alarm-invalidated", value=None))
        alerts.tell(event(value=("\x1b\n" * 1000,), kind="strings"))
    begun, ended, hostile = caplog.records
    normal = 'cpu_usage is {"number": 99.5}, normal is less-than-equals {"number": 75}'
    assert ("WARNING", f"rpi-1: in-alarm: cpu of cpu-usage: {normal}") == (begun.levelname, begun.getMessage())
    assert ("INFO", "rpi-1: alarm-invalidated: cpu of cpu-usage") == (ended.levelname, ended.getMessage())
    assert len(hostile.getMessage()) < 500
    assert hostile.getMessage().isprintable()

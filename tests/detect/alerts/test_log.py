"""Alerts in the log."""

from __future__ import annotations

import logging

import pytest

from defender_detect.alerts.alerts import Alerts
from tests.detect.evaluate.test_shapes import BODY
from tests.detect.store.test_store import event


def test_the_log_has_a_line_for_each(caplog: pytest.LogCaptureFixture) -> None:
    alerts = Alerts()
    with caplog.at_level(logging.INFO):
        alerts.tell(event())
        alerts.tell(event("alarm-invalidated", value=None))
        alerts.tell(event(value=("\x1b\n" * 1000,), kind="strings"))
    begun, ended, hostile = caplog.records
    assert ("WARNING", BODY["message"]) == (begun.levelname, begun.getMessage())
    assert "INFO" == ended.levelname
    assert ended.getMessage().startswith("rpi-1: alarm-invalidated: no report for two days, or")
    assert len(hostile.getMessage()) < 500
    assert hostile.getMessage().isprintable()


def test_whole_lists_are_in_the_log_at_debug_only(caplog: pytest.LogCaptureFixture) -> None:
    alerts, ports = Alerts(), {"comparisonOperator": "in-port-set", "value": {"ports": [22]}}
    with caplog.at_level(logging.DEBUG):
        alerts.tell(event(value=tuple(range(100)), kind="ports", criteria=ports, metric="aws:listening-tcp-ports"))
    line, whole = [record.getMessage() for record in caplog.records if "rpi-1" in record.getMessage()]
    assert "TCP ports 0, 1, 2 and 96 more are listening" in line
    assert 'aws:listening-tcp-ports is {"ports": [0, 1, 2,' in whole
    assert "98, 99]}, normal is" in whole

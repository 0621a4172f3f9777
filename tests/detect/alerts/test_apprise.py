"""Alerts by apprise arrive where its URL says, and nobody reads the URL in a message."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("apprise")

from defender_detect.alerts.apprise import Apprise, AppriseSink
from defender_detect.alerts.secret import Secret
from defender_detect.errors import AlertError, AlertRefused, AlertSettingError
from tests.detect.alerts.test_secret import nothing, write
from tests.detect.alerts.test_webhook import Webhook
from tests.detect.alerts.test_webhook import webhook as webhook
from tests.detect.store.test_store import event


def test_an_alert_arrives_by_apprise(webhook: Webhook, tmp_path: Path) -> None:
    url = write(tmp_path / "url", f"json://127.0.0.1:{webhook.server_port}/s3cret".encode())
    sink = Apprise(url=Secret(file=str(url))).open(nothing)
    sink.send(event())
    sink.send(event("alarm-cleared", value=5))
    begun, ended = (body for _, _, body in webhook.received)
    assert ("rpi-1: in-alarm", "failure") == (begun["title"], begun["type"])
    assert "rpi-1: in-alarm: cpu_usage is 99.5, normal is at most 75 (cpu of cpu-usage)" == begun["message"]
    assert "success" == ended["type"]
    assert "s3cret" not in sink.name


def test_a_service_that_does_not_take_it_is_tried_again(webhook: Webhook) -> None:
    webhook.answers = [500]
    with pytest.raises(AlertError, match="the service did not take it, or cannot be reached") as caught:
        AppriseSink(f"json://127.0.0.1:{webhook.server_port}").send(event())
    assert not isinstance(caught.value, AlertRefused)


def test_a_url_that_apprise_does_not_know_is_a_sentence_without_it() -> None:
    with pytest.raises(AlertSettingError, match=r"^url must be one that apprise knows \(https") as caught:
        AppriseSink("nosuch://s3cret/")
    assert "s3cret" not in str(caught.value)


def test_apprise_that_is_missing_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(AlertSettingError, match="pip install apprise"):
        AppriseSink("json://localhost")

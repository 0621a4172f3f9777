"""Alerts to ntfy."""

from __future__ import annotations

from pathlib import Path

import pytest

from defender_detect.alerts.ntfy import Ntfy
from defender_detect.alerts.secret import Secret
from defender_detect.errors import AlertSettingError
from tests.detect.alerts.test_secret import nothing, write
from tests.detect.alerts.test_webhook import Webhook
from tests.detect.alerts.test_webhook import webhook as webhook
from tests.detect.store.test_store import event

LINE = "rpi-1: in-alarm: cpu_usage is 99.5, normal is at most 75 (cpu of cpu-usage)"


def test_ntfy_is_posted_a_notification_with_its_token(webhook: Webhook, tmp_path: Path) -> None:
    token = Secret(file=str(write(tmp_path / "token", b"tk_s3cret")))
    topic = Secret(file=str(write(tmp_path / "topic", b"t0pic")))
    sink = Ntfy(topic=topic, url=webhook.url, token=token, priority=5).open(nothing)
    sink.send(event())
    sink.send(event("alarm-cleared", value=5))
    (_, headers, begun), (_, _, ended) = webhook.received
    assert "Bearer tk_s3cret" == headers["Authorization"]
    assert {
        "topic": "t0pic",
        "title": "rpi-1: in-alarm",
        "message": LINE,
        "priority": 5,
        "tags": ["rotating_light"],
    } == begun
    assert ("rpi-1: alarm-cleared", 3) == (ended["title"], ended["priority"])
    assert "t0pic" not in sink.name


@pytest.mark.parametrize(("topic", "token"), [(b"a b", b"x"), (b"a", "\xe9".encode())])
def test_a_secret_that_ntfy_cannot_take_is_said_at_the_start(topic: bytes, token: bytes, tmp_path: Path) -> None:
    secrets = [Secret(file=str(write(tmp_path / name, text))) for name, text in (("t", topic), ("k", token))]
    with pytest.raises(AlertSettingError, match="and what the secret has is not$"):
        Ntfy(topic=secrets[0], token=secrets[1]).open(nothing)

"""Alerts to an MQTT topic, at the broker that the reports come from."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from defender_detect.alerts.queue import GIVE_UP_AFTER
from defender_detect.errors import AlertRefused, AlertSettingError
from defender_detect.evaluate.shapes import alert_body
from device_defender.report import LARGEST_PAYLOAD

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

LONGEST_TOPIC, MOST_SLASHES = 256, 7  # bytes; both are AWS IoT's


class TopicSink:
    """Publishes alerts; `publish` is given topic and payload, and raises if the message was not sent."""

    give_up_after = GIVE_UP_AFTER

    def __init__(self, topic: str, publish: Callable[[str, bytes], object]) -> None:
        """Prepare to publish to a topic; raises AlertSettingError for one that cannot be published to."""
        if (
            not topic
            or len(topic.encode()) > LONGEST_TOPIC
            or topic.count("/") > MOST_SLASHES
            or set(topic) & set("+#\0")
        ):
            raise AlertSettingError(
                f"an alert topic must be 1 to {LONGEST_TOPIC} bytes with at most {MOST_SLASHES} slashes and without "
                f"+ and #, got {topic[:80]!a}"
            )
        self.name = f"alerts to the topic {topic}"
        self._topic, self._publish = topic, publish

    def send(self, event: Event) -> None:
        """Publish an alert; one that is too large would cost the connection."""
        payload = json.dumps(alert_body(event)).encode()
        if len(payload) > LARGEST_PAYLOAD:
            raise AlertRefused(f"it has {len(payload)} bytes, and a message may have {LARGEST_PAYLOAD}")
        self._publish(self._topic, payload)

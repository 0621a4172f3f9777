"""Alerts to an MQTT topic, at the broker that the reports come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from defender_detect.alerts.target import GIVE_UP_AFTER, Publish, Target
from defender_detect.errors import AlertRefused
from defender_detect.evaluate.shapes import alert_body
from device_defender.report import LARGEST_PAYLOAD
from device_defender.wording import that

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

LONGEST_TOPIC, MOST_SLASHES = 256, 7  # bytes; both are AWS IoT's


def is_topic(topic: str) -> bool:
    """Tell whether a message can be published on a topic."""
    has_room = topic.count("/") <= MOST_SLASHES and len(topic.encode(errors="replace")) <= LONGEST_TOPIC
    return has_room and not set(topic) & set("+#\0")


class Topic(Target, frozen=True):
    """An MQTT topic at the broker that the reports come from."""

    topic: Annotated[
        str,
        Meta(min_length=1, description="The topic to publish on."),
        that(
            is_topic,
            f"a topic of 1 to {LONGEST_TOPIC} bytes with at most {MOST_SLASHES} slashes and without + and #",
        ),
    ]
    readers: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=128)]],
        Meta(description="Who may hear them at the built-in broker: the names in their certificates."),
    ] = []

    def open(self, publish: Publish) -> TopicSink:
        """Return what publishes."""
        return TopicSink(self.topic, publish)

    @property
    def topics(self) -> Mapping[str, frozenset[str]]:
        """The topic, and the names of those who may hear it."""
        return {self.topic: frozenset(self.readers)}


class TopicSink:
    """Publishes alerts; `publish` is given topic and payload, and raises if the message was not sent."""

    give_up_after = GIVE_UP_AFTER

    def __init__(self, topic: str, publish: Publish) -> None:
        """Prepare to publish on a topic."""
        self.name = f"alerts to the topic {topic}"
        self._topic, self._publish = topic, publish

    def send(self, event: Event) -> None:
        """Publish an alert; one that is too large would cost the connection."""
        payload = json.dumps(alert_body(event)).encode()
        if len(payload) > LARGEST_PAYLOAD:
            raise AlertRefused(f"it has {len(payload)} bytes, and a message may have {LARGEST_PAYLOAD}")
        self._publish(self._topic, payload)

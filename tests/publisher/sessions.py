"""Sessions as tests look at them: the SDK's client that remembers who called it, its threads, and a connection lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from AWSIoTPythonSDK.MQTTLib import AWSIoTMQTTClient

from defender_publisher.mqtt import MqttTransport
from tests.waiting import wait_until


class RecordedClient(AWSIoTMQTTClient):
    """The SDK's client, which remembers the threads that called it, and publishes as `publish_as` says."""

    publish_as: Callable[[], object] | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.callers: set[threading.Thread] = set()

    def connectAsync(self, *arguments: Any, **named: Any) -> Any:  # noqa: N802 - the SDK's name
        self.callers.add(threading.current_thread())
        return super().connectAsync(*arguments, **named)

    def disconnectAsync(self, *arguments: Any, **named: Any) -> Any:  # noqa: N802
        self.callers.add(threading.current_thread())
        return super().disconnectAsync(*arguments, **named)

    def subscribeAsync(self, *arguments: Any, **named: Any) -> Any:  # noqa: N802
        self.callers.add(threading.current_thread())
        return super().subscribeAsync(*arguments, **named)

    def publish(self, *arguments: Any, **named: Any) -> Any:
        self.callers.add(threading.current_thread())
        return self.publish_as() if self.publish_as else super().publish(*arguments, **named)


def reconnect(transport: MqttTransport) -> None:
    """Wait for the loss, let the transport notice it, and connect without the wait in between."""
    assert wait_until(lambda: not transport.connected)
    transport.keep_connected()
    transport.connect()


def sdk_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    """The threads begun since, without the broker's and the SDK's timer, which ends by itself after 20 s."""
    return [
        each
        for each in set(threading.enumerate()) - before
        if not isinstance(each, threading.Timer) and "_talk" not in each.name and "_serve" not in each.name
    ]

"""An MQTT client for tests that want to be refused: the SDK's own, without its retries and reconnections."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from AWSIoTPythonSDK.core.protocol.paho import client as paho

MQTT_3_1_1 = 4
PATIENCE = 60.0  # seconds; the emulator answers within milliseconds


class MqttClient:
    """A client that tells whether the broker did what it was asked for, or closed the connection."""

    def __init__(self, port: int, authority: Path, certificate: Path, private_key: Path, client_id: str) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._done: set[Any] = set()
        self._port, self._closed = port, False
        self._client = paho.Client(client_id, protocol=MQTT_3_1_1)
        self._client.tls_set(str(authority), str(certificate), str(private_key), tls_version=ssl.PROTOCOL_TLSv1_2)
        self._client.on_connect = lambda *event: event[3] == 0 and self._done.add("connect")
        self._client.on_publish = self._client.on_subscribe = lambda *event: self._done.add(event[2])
        self._client.on_message = lambda *event: self.messages.append((event[2].topic, event[2].payload))
        self._client.on_disconnect = lambda *event: setattr(self, "_closed", True)

    def connect(self) -> bool:
        """Tell whether the broker takes the client."""
        try:
            self._client.connect("localhost", self._port)
        except OSError:
            return False
        return self._wait_until(lambda: "connect" in self._done)

    def publish(self, topic: str, payload: bytes | str) -> bool:
        """Tell whether the broker acknowledges a message."""
        identifier = self._client.publish(topic, payload, 1)[1]
        return self._wait_until(lambda: identifier in self._done)

    def subscribe(self, topic: str) -> bool:
        """Tell whether the broker acknowledges a subscription."""
        identifier = self._client.subscribe(topic, 1)[1]
        return self._wait_until(lambda: identifier in self._done)

    def receive(self) -> tuple[str, bytes] | None:
        """Return the next message, None if none comes."""
        self._wait_until(lambda: self.messages)
        return self.messages.pop(0) if self.messages else None

    def close(self) -> None:
        self._client.disconnect()

    def _wait_until(self, condition: Callable[[], object]) -> bool:
        deadline = time.monotonic() + PATIENCE
        while not condition() and not self._closed and time.monotonic() < deadline:
            self._client.loop(0.05)
        return bool(condition())

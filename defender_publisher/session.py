"""A session: one MQTT connection by AWSIoTPythonSDK, from CONNECT until it is lost; it is never used again after that.

The SDK reconnects by itself, without jitter, and swallows every reason. So its own reconnecting is switched off here
(the socket factory ends its network thread instead), and `defender_publisher.mqtt` opens a new session when it is due.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from AWSIoTPythonSDK.core.protocol.internal.workers import EventConsumer
from AWSIoTPythonSDK.core.protocol.paho import client as paho
from AWSIoTPythonSDK.MQTTLib import AWSIoTMQTTClient

from defender_publisher import diagnosis
from defender_publisher.errors import NotConnected, SubscriptionRefused, TransportError

log = logging.getLogger("defender_publisher")

KEEP_ALIVE = 60  # seconds; the SDK's 600 let a half-open connection look well for ten minutes (AWS allows 30-1200)
ANSWER_TIMEOUT = 10.0  # seconds for CONNACK, and for each SUBACK
CLOSE_TIMEOUT = 2.0  # seconds for a DISCONNECT to go out
DISPATCH_INTERVAL = 2.0  # seconds; the SDK's 10 ms wake an idle device 96 times a second, and an event wakes it anyway
REFUSED = 0x80  # the SUBACK code of a filter that is not allowed (MQTT 3.1.1, 3.9.3)
AT_MOST_ONCE, AT_LEAST_ONCE = 0, 1


class Link(msgspec.Struct, frozen=True):
    """Whom to connect to, and as whom; paths are of PEM files, certificate and key are empty with WebSocket."""

    host: str
    port: int
    client_id: str
    topic: str
    root_ca: str
    certificate: str = ""
    private_key: str = ""
    websocket: bool = False

    @property
    def reply_topics(self) -> tuple[str, str]:
        """The topics on which Device Defender answers to `topic`."""
        return f"{self.topic}/accepted", f"{self.topic}/rejected"


class Message(NamedTuple):
    """A message that arrived on a reply topic."""

    topic: str
    payload: bytes


class Session:
    """One MQTT connection to a broker; `open_socket` makes its TCP connection, bounded in time."""

    def __init__(self, link: Link, open_socket: Callable[[], socket.socket]) -> None:
        self._link = link
        self._open_socket = open_socket
        self._steps: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()  # None: the connection is lost
        self._threads: list[threading.Thread] = []
        self._lost = threading.Event()
        self._line: socket.socket | None = None
        self._client = _configured_client(link, self._first_socket, self._on_offline)

    @property
    def alive(self) -> bool:
        """Whether the connection is up and the SDK's threads live, which an exception in them ends without a word."""
        begun = bool(self._threads) and not self._lost.is_set()
        return begun and all(thread.is_alive() for thread in self._threads)

    def open(self, replies_required: bool = True) -> None:
        """Connect and subscribe to the reply topics.

        Raises TransportError with the reason when that fails: SubscriptionRefused when only the second did.
        """
        try:
            self._client.connectAsync(KEEP_ALIVE, _safely(lambda mid, data: self._steps.put(("connack", data))))
            self._threads = self._sdk_threads()
            code = self._wait_for("connack")
            if code != 0:
                raise TransportError(diagnosis.explain_refusal(code))
            for topic in self._link.reply_topics:
                self._subscribe(topic, replies_required)
        except TransportError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise TransportError(diagnosis.explain_failure(error, self._link.host)) from error

    def publish(self, payload: bytes) -> None:
        """Send a report at QoS 0; raises NotConnected when it cannot be sent."""
        try:
            sent = self._client.publish(self._link.topic, bytearray(payload), AT_MOST_ONCE)
        except Exception as error:
            raise NotConnected(diagnosis.explain_failure(error, self._link.host)) from error
        if sent is not True:  # the SDK's word for "put into the offline queue"
            raise NotConnected("the connection is gone")

    def next_message(self, timeout: float) -> Message | None:
        """Return the next message, or None after `timeout` seconds; raises NotConnected when the connection is lost."""
        try:
            message = self._messages.get(timeout=max(timeout, 0.0))
        except queue.Empty:
            return None
        if message is None:
            raise NotConnected("the connection is lost")
        return message

    def waiting_messages(self) -> Iterator[Message]:
        """Yield the messages that have arrived and that nobody waited for; the loss of the connection is no message."""
        with contextlib.suppress(queue.Empty):
            while True:
                message = self._messages.get_nowait()
                if message is None:
                    self._messages.put(None)
                    return
                yield message

    def answers(self) -> bool:
        """Whether the broker answers now, and so has received all that was sent before.

        Asked by subscribing once more: what the broker acknowledges it does in the order of what it receives, and
        the SDK offers no PINGREQ.
        """
        try:
            self._subscribe(self._link.reply_topics[0], required=False)
        except Exception:  # noqa: BLE001 - whatever the SDK makes of a dead connection, it is no answer
            return False
        return self.alive

    def close(self) -> None:
        """Disconnect and end the SDK's threads; never raises, whatever state the connection is in."""
        online = self.alive
        self._lost.set()
        if online:  # the SDK's disconnect answers nobody when it is not
            self._say_goodbye()
        line, self._line = self._line, None  # the job and the watchdog may close it at once
        if line is not None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()
        self._end_threads()

    def _say_goodbye(self) -> None:
        with contextlib.suppress(Exception):
            self._client.disconnectAsync(_safely(lambda mid, data=None: self._steps.put(("closed", None))))
            self._wait_for("closed", CLOSE_TIMEOUT)

    def _subscribe(self, topic: str, required: bool) -> None:
        self._client.subscribeAsync(
            topic,
            AT_LEAST_ONCE,
            _safely(lambda mid, data: self._steps.put(("suback", data))),
            _safely(lambda _client, _data, message: self._messages.put(Message(message.topic, message.payload))),
        )
        granted = self._wait_for("suback")
        if granted[0] == REFUSED and required:
            raise SubscriptionRefused(diagnosis.SUBSCRIPTION_REFUSED.format(topic=topic))

    def _wait_for(self, wanted: str, timeout: float | None = None) -> Any:
        try:
            step, data = self._steps.get(timeout=timeout or ANSWER_TIMEOUT)
        except queue.Empty:
            raise TransportError(diagnosis.SILENT) from None
        if step != wanted:
            raise TransportError(diagnosis.NOT_LET_IN)
        return data

    def _first_socket(self) -> socket.socket:
        """Make the connection's socket; asked for another, end the SDK's thread that wants to reconnect after all."""
        if self._line is not None and not self._lost.is_set():
            self._steps.put(("connack", 1))  # it meets this code by trying MQTT 3.1, and never tells it
        if self._line is not None or self._lost.is_set():
            raise SystemExit
        sock = self._open_socket()
        self._line = sock.dup()  # TLS takes the socket itself away; this one can still shut the line
        return sock

    def _sdk_threads(self) -> list[threading.Thread]:
        """Find the SDK's network thread and its dispatcher, which it does not keep; jobs begin threads meanwhile."""
        core = self._client._mqtt_core
        owners = core._event_consumer, core._internal_async_client._paho_client
        return [
            each
            for each in threading.enumerate()
            if getattr(getattr(each, "_target", None), "__self__", None) in owners
        ]

    def _end_threads(self) -> None:
        """Let the SDK's two threads end; its own way to do so waits for the network thread, which may be asleep."""
        core = self._client._mqtt_core
        core._internal_async_client._paho_client._thread_terminate = True
        core._event_consumer._is_running = False

    def _on_offline(self) -> None:
        self._lost.set()
        self._end_threads()
        self._steps.put(("offline", None))
        self._messages.put(None)


def _configured_client(link: Link, make_socket: Callable[[], socket.socket], on_offline: Callable[[], None]) -> Any:
    EventConsumer.MAX_DISPATCH_INTERNAL_SEC = DISPATCH_INTERVAL
    paho.print = lambda *words: log.debug("MQTT: %s", words)  # it prints to standard output, which is not its own
    for each in ("_ssl", "_sock", "_sockpairR", "_sockpairW"):  # its destructor wants them, even if no start set them
        setattr(paho.Client, each, None)
    client = AWSIoTMQTTClient(link.client_id, useWebsocket=link.websocket)
    client.configureEndpoint(link.host, link.port)
    client.configureCredentials(link.root_ca, link.private_key, link.certificate)
    client.configureSocketFactory(make_socket)
    client.configureOfflinePublishQueueing(0)  # Device Defender wants current metrics, not old ones
    client.configureConnectDisconnectTimeout(ANSWER_TIMEOUT)
    client.configureMQTTOperationTimeout(ANSWER_TIMEOUT)
    client.disableMetricsCollection()  # the SDK's own user name in CONNECT
    client.onOffline = _safely(on_offline)
    return client


def _safely(callback: Callable[..., None]) -> Callable[..., None]:
    """Wrap a callback: an exception in one ends the SDK's dispatcher for good, without a word."""

    def call(*arguments: Any, **named: Any) -> None:
        try:
            callback(*arguments, **named)
        except Exception:
            log.exception("unforeseen error in an MQTT callback")

    return call

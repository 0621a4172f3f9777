"""The SDK: AWSIoTPythonSDK's client for one connection, kept from what goes wrong inside it.

Nothing else of this program reaches into that inside, which is that of 1.6. Each function here says which fault of the
SDK it is about, and where in AWSIoTPythonSDK/core/protocol that is: in mqtt_core.py, in internal/workers.py (whose
EventConsumer is the dispatcher, the thread that calls back) or in paho/client.py (whose Client has the network thread).
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from AWSIoTPythonSDK.core.protocol.internal.workers import EventConsumer
from AWSIoTPythonSDK.core.protocol.paho import client as paho
from AWSIoTPythonSDK.exception.AWSIoTExceptions import connectError, publishQueueDisabledException
from AWSIoTPythonSDK.MQTTLib import AWSIoTMQTTClient

from defender_publisher import diagnosis
from defender_publisher.errors import ConfigError, NotLetIn, Problem, TransportError
from defender_publisher.inbox import Message
from defender_publisher.tcp import wire_name
from defender_publisher.transport import Link

log = logging.getLogger("defender_publisher")

OLDEST = (1, 6, 1)
KEEP_ALIVE = 60  # seconds; the SDK's 600 let a half-open connection look well for ten minutes (AWS allows 30-1200)
WAKE_TIMEOUT = 0.1  # seconds for the dispatcher to be woken, which otherwise ends at its next turn
DISPATCH_INTERVAL = 30.0  # seconds; the SDK's 10 ms wake an idle device 96 times a second, and an event wakes it anyway
SHORTEST_SLEEP = 1.0  # seconds that the SDK's network thread waits at least, which it does for one, again and again
AT_MOST_ONCE, AT_LEAST_ONCE = 0, 1
LARGEST_PACKET = 256 * 1024  # bytes; AWS IoT's largest message has 128 KB, and MQTT's 256 MB would fill a device
NO_CONNECTION = "Error: 4"  # how the SDK's message ends when an operation found no connection
GONE = "the connection was lost ({})"


class Client:
    """One connection by the SDK, over the one socket that `make_socket` makes; all callbacks are called by its threads.

    `on_offline` is called once the connection is gone, `on_retry` where the SDK wants to connect once more.
    """

    def __init__(
        self,
        link: Link,
        make_socket: Callable[[], socket.socket],
        on_offline: Callable[[], None],
        on_retry: Callable[[], None],
        answer_timeout: float,
    ) -> None:
        self._make_socket = make_socket
        self._on_retry = on_retry
        self._socket_wanted = False  # once the SDK has asked for its socket
        self._threads: list[threading.Thread] = []
        EventConsumer.MAX_DISPATCH_INTERNAL_SEC = DISPATCH_INTERVAL
        _silence()
        self._sdk = _configured(link, self._only_socket, on_offline, answer_timeout)
        core = self._sdk._mqtt_core
        self._dispatcher, self._network = core._event_consumer, core._internal_async_client._paho_client
        sleep_until_needed(self._network)
        _end_at_once(self._dispatcher)

    @property
    def alive(self) -> bool:
        """Whether it has begun to connect and its threads live, which an exception in them ends without a word."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def connect(self, answered: Callable[[Any], None]) -> None:
        """Connect by TCP and TLS and send CONNECT; `answered` hears CONNACK's code. Raises whatever the SDK raises."""
        self._sdk.connectAsync(KEEP_ALIVE, _acknowledged(answered))
        line = self._network._ssl
        if line is not None:  # or the network thread has met the connection's end already
            self._network._ssl = _BoundedLine(line)
        self._threads = self._find_threads()

    def subscribe(self, topic: str, granted: Callable[[Any], None], hear: Callable[[Message], None]) -> None:
        """Ask for a topic's messages, which `hear` is given; `granted` hears SUBACK's codes."""
        take = safely(lambda _client, _data, message: hear(Message(message.topic, message.payload)))
        self._sdk.subscribeAsync(topic, AT_LEAST_ONCE, _acknowledged(granted), take)

    def send(self, topic: str, payload: bytes) -> bool:
        """Send a message at QoS 0; whether it was sent, which one that was put into the SDK's offline queue was not."""
        return self._sdk.publish(topic, bytearray(payload), AT_MOST_ONCE) is True

    def deliver(self, topic: str, payload: bytes, arrived: Callable[[Any], None]) -> None:
        """Send a message at QoS 1; `arrived` hears of its PUBACK."""
        self._sdk.publishAsync(topic, bytearray(payload), AT_LEAST_ONCE, _acknowledged(arrived))

    def disconnect(self, closed: Callable[[Any], None]) -> None:
        """Send DISCONNECT; `closed` hears of it only where the connection is up."""
        self._sdk.disconnectAsync(_acknowledged(closed))

    def end(self) -> None:
        """Let both threads end; Client.loop_stop (paho/client.py) waits for the network thread, which may be asleep."""
        self._network._thread_terminate = True
        self._dispatcher._is_running = False
        _wake(self._dispatcher)

    def _only_socket(self) -> socket.socket:
        """Make the connection's socket; asked for another, end the network thread, which wants to connect again.

        Client.loop_forever (paho/client.py) does that for ever, without jitter, and swallows every reason; and
        Client._handle_connack meets code 1 by trying MQTT 3.1, and never tells it.
        """
        if self._socket_wanted:
            self._on_retry()
            raise SystemExit
        self._socket_wanted = True
        return self._make_socket()

    def _find_threads(self) -> list[threading.Thread]:
        """Find the two threads: EventConsumer.start (internal/workers.py) keeps none. Jobs begin others meanwhile."""
        owners = self._dispatcher, self._network
        return [
            each
            for each in threading.enumerate()
            if getattr(getattr(each, "_target", None), "__self__", None) in owners
        ]


def _silence() -> None:
    """Keep paho/client.py from printing to standard output, and Client.__del__ from failing where no start was."""
    paho.print = lambda *words: log.debug("MQTT: %s", words)
    for each in ("_ssl", "_sock", "_sockpairR", "_sockpairW"):  # which __del__ wants, and __init__ sets at its end
        setattr(paho.Client, each, None)


def _configured(
    link: Link, make_socket: Callable[[], socket.socket], on_offline: Callable[[], None], answer_timeout: float
) -> AWSIoTMQTTClient:
    sdk = AWSIoTMQTTClient(link.client_id, useWebsocket=link.websocket)
    sdk.configureEndpoint(link.host if link.websocket else _on_the_wire(link.host), link.port)
    sdk.configureCredentials(link.root_ca, link.private_key, link.certificate)
    sdk.configureSocketFactory(make_socket)
    sdk.configureOfflinePublishQueueing(0)  # Device Defender wants current metrics, not old ones
    sdk.configureConnectDisconnectTimeout(answer_timeout)
    sdk.configureMQTTOperationTimeout(answer_timeout)
    sdk.disableMetricsCollection()  # the SDK's own user name in CONNECT
    sdk.onOffline = safely(on_offline)
    return sdk


def _on_the_wire(host: str) -> str | bytes:
    """Return a host's name as bytes, where it can be one: TLS encodes a str, with tables of 0.4 MB."""
    try:
        return wire_name(host)
    except UnicodeError:  # which whoever connects to it is told
        return host


def _wake(dispatcher: Any) -> None:
    """Wake EventConsumer._dispatch (internal/workers.py), which sleeps when it is to end, by an event that is none."""
    if dispatcher._cv.acquire(timeout=WAKE_TIMEOUT):  # which the dispatcher holds while it is awake
        dispatcher._event_queue.put((None, None, None))
        dispatcher._cv.notify_all()
        dispatcher._cv.release()


def _end_at_once(dispatcher: Any) -> None:
    """Wake the dispatcher when it is to stop: MqttCore.connect_async (mqtt_core.py) waits for that after a failure."""
    stop = dispatcher.stop

    def stop_and_wake() -> None:
        stop()
        _wake(dispatcher)

    dispatcher.stop = stop_and_wake


def sleep_until_needed(network: Any) -> None:
    """Let the network thread sleep until a PINGREQ is due: what happens wakes it.

    Client.loop_forever (paho/client.py) looks once a second.
    """
    loop = network.loop

    def patient_loop(timeout: float = 0.0, max_packets: int = 1) -> Any:
        now = time.time()  # as the SDK reckons
        idle = now - min(network._last_msg_out, network._last_msg_in)
        return loop(min(max(KEEP_ALIVE - idle, SHORTEST_SLEEP), KEEP_ALIVE), max_packets)

    network.loop = patient_loop


def safely(callback: Callable[..., None]) -> Callable[..., None]:
    """Wrap a callback: an exception in one ends EventConsumer._dispatch (internal/workers.py), without a word."""

    def call(*arguments: Any, **named: Any) -> None:
        try:
            callback(*arguments, **named)
        except Exception:
            log.exception("unforeseen error in an MQTT callback")

    return call


def _acknowledged(call: Callable[[Any], None]) -> Callable[..., None]:
    """Make a callback of an acknowledgement, which the SDK gives a packet's number, and of some what they hold."""
    return safely(lambda mid, data=None: call(data))


class _BoundedLine:
    """A TLS connection that ends where Client._packet_read (paho/client.py) would read for ever.

    That is at its end in the middle of a packet, and in a huge packet.
    """

    def __init__(self, line: Any) -> None:
        self._line = line

    def read(self, count: int) -> Any:
        """Return up to `count` bytes; raises OSError, which the SDK takes for the end of the connection."""
        if count > LARGEST_PACKET:
            raise ConnectionAbortedError(f"a packet of {count} bytes")
        data = self._line.read(count)
        if count and not data:  # in the middle of a packet the SDK would ask again and again
            raise ConnectionResetError("the broker closed the connection")
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._line, name)


def error_of(error: Exception, link: Link) -> TransportError:
    """Return an error of connecting as one of ours: whether the broker was there, and does not want this device."""
    problem = problem_of(error, link)
    said = isinstance(error, ssl.SSLError) and "ALERT" in diagnosis.reason_of(error)  # what the broker said
    if said or isinstance(error, (connectError, ConnectionResetError)):
        return NotLetIn(*problem, outspoken=said)
    return TransportError(*problem)


def problem_of(error: BaseException, link: Link) -> Problem:
    """Say what an exception from the SDK means; its own print as an empty string."""
    reason = diagnosis.reason_of(error)
    if isinstance(error, connectError):  # so shows a certificate that is refused under TLS 1.3, or as a lost connection
        return diagnosis.not_let_in(link)
    if isinstance(error, publishQueueDisabledException) or reason.endswith(NO_CONNECTION):
        return Problem(GONE.format(reason), diagnosis.RECONNECTING)
    if "No Access Key" in reason:
        return diagnosis.NO_AWS_CREDENTIALS
    if type(error) is ValueError:  # all that the SDK says of a WebSocket that AWS IoT does not open
        return Problem(f"the WebSocket handshake failed ({reason})", diagnosis.not_let_in(link).advice)
    return diagnosis.explain(error, link)


def check_sdk(version: str) -> None:
    """Raise ConfigError for an SDK that connects to any server, whoever it claims to be."""
    numbers = tuple(int(part) for part in version.split(".") if part.isdigit())
    if numbers < OLDEST:
        raise ConfigError(
            [f"AWSIoTPythonSDK must be at least 1.6.1, which checks the server's name; this is {version}"]
        )

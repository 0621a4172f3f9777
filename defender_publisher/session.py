"""A session: one MQTT connection by AWSIoTPythonSDK, from CONNECT until it is lost; it is never used again after that.

The SDK reconnects by itself, without jitter, and swallows every reason. So its own reconnecting is switched off here
(the socket factory ends its network thread instead), and `defender_publisher.mqtt` opens a new session when it is due.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from AWSIoTPythonSDK.core.protocol.internal.workers import EventConsumer
from AWSIoTPythonSDK.core.protocol.paho import client as paho
from AWSIoTPythonSDK.exception.AWSIoTExceptions import connectError, publishQueueDisabledException
from AWSIoTPythonSDK.MQTTLib import AWSIoTMQTTClient

from defender_publisher import diagnosis
from defender_publisher.errors import NotConnected, NotLetIn, Problem, SubscriptionRefused, TransportError
from defender_publisher.inbox import Inbox, Message
from defender_publisher.transport import Link

log = logging.getLogger("defender_publisher")

KEEP_ALIVE = 60  # seconds; the SDK's 600 let a half-open connection look well for ten minutes (AWS allows 30-1200)
HANDSHAKE_TIMEOUT = 25.0  # seconds for TCP, the proxy and TLS together, each read of which has a time-out of its own
ANSWER_TIMEOUT = 10.0  # seconds for CONNACK, and for each SUBACK
CLOSE_TIMEOUT = 2.0  # seconds for a DISCONNECT to go out
WAKE_TIMEOUT = 0.1  # seconds for the dispatcher to be woken, which otherwise ends at its next turn
DISPATCH_INTERVAL = 30.0  # seconds; the SDK's 10 ms wake an idle device 96 times a second, and an event wakes it anyway
SHORTEST_SLEEP = 1.0  # seconds that the SDK's network thread waits at least, which it does for one, again and again
REFUSED = 0x80  # the SUBACK code of a filter that is not allowed (MQTT 3.1.1, 3.9.3)
AT_MOST_ONCE, AT_LEAST_ONCE = 0, 1
LARGEST_PACKET = 256 * 1024  # bytes; AWS IoT's largest message has 128 KB, and MQTT's 256 MB would fill a device
NO_CONNECTION = "Error: 4"  # how the SDK's message ends when an operation found no connection
# CONNACK codes that say more than "unavailable": asked again, the broker says the same. Not 1, which the SDK makes a
# second try of, as it does of a connection that a busy broker closed before it answered.
OWN_WORDS = (2, 4, 5)
HUNG_UP = "the broker closed the connection"
GONE = "the connection was lost ({})"
WAS_RESET = "the connection was torn down while it was being made"


class Companion(Protocol):
    """Something that has topics of its own on a session that is another's."""

    def join(self, session: Session) -> None:
        """Take part in a session that has just been opened; never raises."""


class Session:
    """One MQTT connection to a broker; `open_socket` makes its TCP connection, bounded in time."""

    def __init__(
        self, link: Link, open_socket: Callable[[], socket.socket], companion: Companion | None = None
    ) -> None:
        self._link = link
        self._open_socket = open_socket
        self._companion = companion
        self._steps: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._inbox = Inbox()
        self._threads: list[threading.Thread] = []
        self._lost = threading.Event()
        self._line: socket.socket | None = None
        self._line_wanted = False  # once the SDK has asked for its socket
        self._overdue = False  # once the handshake took too long
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
            self._shake_hands()
            self._threads = self._sdk_threads()
            code = self._wait_for("connack")
            if code != 0:
                raise NotLetIn(*diagnosis.refusal(code, self._link), outspoken=code in OWN_WORDS)
            for topic in self._link.reply_topics:
                self._subscribe(topic, replies_required)
        except TransportError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise _error_of(error, self._link) from error
        if self._companion is not None:
            self._companion.join(self)

    def subscribe(self, topic: str, hear: Callable[[Message], None] | None = None) -> None:
        """Hear a topic more, in the inbox or by `hear`, which is called in the SDK's thread.

        Raises SubscriptionRefused, or TransportError when the broker hangs up or does not answer.
        """
        try:
            self._subscribe(topic, required=True, hear=hear)
        except NotLetIn as error:
            raise NotConnected(HUNG_UP) from error
        except TransportError:
            raise
        except Exception as error:
            raise NotConnected(*problem_of(error, self._link)) from error

    def deliver(self, topic: str, payload: bytes) -> None:
        """Send a message at QoS 1 and return once the broker has it; raises NotConnected when it does not say so."""
        try:
            acknowledged = _safely(lambda mid: self._steps.put(("puback", mid)))
            self._client.publishAsync(topic, bytearray(payload), AT_LEAST_ONCE, acknowledged)
            self._wait_for("puback")
        except NotLetIn as error:
            raise NotConnected(HUNG_UP) from error
        except TransportError as error:
            raise NotConnected(*error.problem) from error
        except Exception as error:
            raise NotConnected(*problem_of(error, self._link)) from error

    def when_lost(self, call: Callable[[], None]) -> None:
        """Have a function called, by any thread, when the connection is lost from now on."""
        self._inbox.on_close = call

    def publish(self, payload: bytes) -> None:
        """Send a report at QoS 0; raises NotConnected when it cannot be sent."""
        self.send(self._link.topic, payload)

    def send(self, topic: str, payload: bytes) -> None:
        """Send a message at QoS 0 to any topic; raises NotConnected when it cannot be sent."""
        try:
            sent = self._client.publish(topic, bytearray(payload), AT_MOST_ONCE)
        except Exception as error:
            raise NotConnected(*problem_of(error, self._link)) from error
        if sent is not True:  # the SDK's word for "put into the offline queue"
            raise NotConnected("the connection was lost", diagnosis.RECONNECTING)

    def next_message(self, timeout: float) -> Message | None:
        """Return the next message, or None after `timeout` seconds; raises NotConnected when the connection is lost."""
        try:
            return self._inbox.get(timeout)
        except EOFError:
            raise NotConnected("the connection is lost") from None

    def waiting_messages(self) -> Iterator[Message]:
        """Yield the messages that have arrived and that nobody waited for."""
        yield from self._inbox.take_all()

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
        self._hang_up()
        self._end_threads()
        self._steps.put(("offline", None))  # for an attempt that waits: threads that end so early tell it nothing

    def _shake_hands(self) -> None:
        """Connect by TCP, proxy and TLS, and send CONNECT; whoever sends a byte now and then cannot draw it out."""
        if self._lost.is_set():
            raise TransportError(WAS_RESET)
        timer = threading.Timer(HANDSHAKE_TIMEOUT, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            self._client.connectAsync(KEEP_ALIVE, _safely(lambda mid, data: self._steps.put(("connack", data))))
        except Exception as error:
            if self._overdue:
                raise TransportError(*diagnosis.SILENT) from error
            raise
        finally:
            timer.cancel()
        _bound_packets(self._client)

    def _give_up(self) -> None:
        self._overdue = True
        self._hang_up()

    def _hang_up(self) -> None:
        line, self._line = self._line, None  # the job and the watchdog may close it at once
        if line is not None:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _say_goodbye(self) -> None:
        with contextlib.suppress(Exception):
            self._client.disconnectAsync(_safely(lambda mid, data=None: self._steps.put(("closed", None))))
            self._wait_for("closed", CLOSE_TIMEOUT)

    def _subscribe(self, topic: str, required: bool, hear: Callable[[Message], None] | None = None) -> None:
        take = hear or self._inbox.put
        self._client.subscribeAsync(
            topic,
            AT_LEAST_ONCE,
            _safely(lambda mid, data: self._steps.put(("suback", data))),
            _safely(lambda _client, _data, message: take(Message(message.topic, message.payload))),
        )
        granted = self._wait_for("suback")
        if granted[0] == REFUSED and required:
            raise SubscriptionRefused(*diagnosis.subscription_refused(topic, self._link))

    def _wait_for(self, wanted: str, timeout: float | None = None) -> Any:
        try:
            step, data = self._steps.get(timeout=timeout or ANSWER_TIMEOUT)
        except queue.Empty:
            raise TransportError(*diagnosis.SILENT) from None
        if step != wanted:
            raise NotLetIn(*diagnosis.not_let_in(self._link))
        return data

    def _first_socket(self) -> socket.socket:
        """Make the connection's socket; asked for another, end the SDK's thread that wants to reconnect after all."""
        if self._line_wanted:
            if not self._lost.is_set():
                self._steps.put(("connack", 1))  # it meets this code by trying MQTT 3.1, and never tells it
            raise SystemExit
        self._line_wanted = True
        sock = self._open_socket()
        self._line = sock.dup()  # TLS takes the socket itself away; this one can still shut the line
        if self._lost.is_set():  # since before there was a line to shut
            self._hang_up()
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
        _wake(core._event_consumer)

    def _on_offline(self) -> None:
        self._lost.set()
        self._end_threads()
        self._steps.put(("offline", None))
        self._inbox.close()


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
    _sleep_until_needed(client._mqtt_core._internal_async_client._paho_client)
    _end_at_once(client._mqtt_core._event_consumer)
    return client


def _wake(dispatcher: Any) -> None:
    """Wake the SDK's dispatcher, by an event that is none, to look whether it is to go on."""
    if dispatcher._cv.acquire(timeout=WAKE_TIMEOUT):  # which the dispatcher holds while it is awake
        dispatcher._event_queue.put((None, None, None))
        dispatcher._cv.notify_all()
        dispatcher._cv.release()


def _end_at_once(dispatcher: Any) -> None:
    """Let the SDK, which waits for its dispatcher where a connection cannot be made, wake it first."""
    stop = dispatcher.stop

    def stop_and_wake() -> None:
        stop()
        _wake(dispatcher)

    dispatcher.stop = stop_and_wake


def _sleep_until_needed(paho_client: Any) -> None:
    """Let the SDK's network thread, which looks once a second, sleep until a PINGREQ is due: what happens wakes it."""
    loop = paho_client.loop

    def patient_loop(timeout: float = 0.0, max_packets: int = 1) -> Any:
        now = time.time()  # as the SDK reckons
        idle = now - min(paho_client._last_msg_out, paho_client._last_msg_in)
        return loop(min(max(KEEP_ALIVE - idle, SHORTEST_SLEEP), KEEP_ALIVE), max_packets)

    paho_client.loop = patient_loop


def _safely(callback: Callable[..., None]) -> Callable[..., None]:
    """Wrap a callback: an exception in one ends the SDK's dispatcher for good, without a word."""

    def call(*arguments: Any, **named: Any) -> None:
        try:
            callback(*arguments, **named)
        except Exception:
            log.exception("unforeseen error in an MQTT callback")

    return call


class _BoundedLine:
    """The SDK's TLS connection, which ends where the SDK would read for ever: at its end, and in a huge packet."""

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


def _bound_packets(client: Any) -> None:
    paho_client = client._mqtt_core._internal_async_client._paho_client
    line = paho_client._ssl
    if line is not None:  # or the network thread has met the connection's end already
        paho_client._ssl = _BoundedLine(line)


def _error_of(error: Exception, link: Link) -> TransportError:
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

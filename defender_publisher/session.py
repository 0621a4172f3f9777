"""A session: one MQTT connection, from CONNECT until it is lost; it is never used again after that.

The SDK would reconnect by itself, without jitter, and swallow every reason. So a session ends with its connection, and
`defender_publisher.mqtt` opens a new one when it is due. What the SDK does wrong itself is the concern of
`defender_publisher.sdk`.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from defender_publisher import diagnosis
from defender_publisher.errors import NotConnected, NotLetIn, SubscriptionRefused, TransportError
from defender_publisher.inbox import Inbox, Message
from defender_publisher.sdk import Client, error_of, problem_of
from defender_publisher.transport import Link

HANDSHAKE_TIMEOUT = 25.0  # seconds for TCP, the proxy and TLS together, each read of which has a time-out of its own
ANSWER_TIMEOUT = 10.0  # seconds for CONNACK, and for each SUBACK
CLOSE_TIMEOUT = 2.0  # seconds for a DISCONNECT to go out
REFUSED = 0x80  # the SUBACK code of a filter that is not allowed (MQTT 3.1.1, 3.9.3)
# CONNACK codes that say more than "unavailable": asked again, the broker says the same. Not 1, which the SDK makes a
# second try of, as it does of a connection that a busy broker closed before it answered.
OWN_WORDS = (2, 4, 5)
SECOND_TRY = 1  # the CONNACK code that such a try stands for
HUNG_UP = "the broker closed the connection"
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
        self.link = link
        self._open_socket = open_socket
        self._companion = companion
        self._steps: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._inbox = Inbox()
        self._lost = threading.Event()
        self._line: socket.socket | None = None
        self._overdue = False  # once the handshake took too long
        self._client = Client(link, self._open_line, self._on_offline, self._on_retry, ANSWER_TIMEOUT)

    @property
    def alive(self) -> bool:
        """Whether the connection is up."""
        return not self._lost.is_set() and self._client.alive

    def open(self, replies_required: bool = True) -> None:
        """Connect and subscribe to the reply topics.

        Raises TransportError with the reason when that fails: SubscriptionRefused when only the second did.
        """
        try:
            self._shake_hands()
            code = self._wait_for("connack")
            if code != 0:
                raise NotLetIn(*diagnosis.refusal(code, self.link), outspoken=code in OWN_WORDS)
            for topic in self.link.reply_topics:
                self._subscribe(topic, replies_required)
        except TransportError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise error_of(error, self.link) from error
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
            raise NotConnected(*problem_of(error, self.link)) from error

    def deliver(self, topic: str, payload: bytes) -> None:
        """Send a message at QoS 1 and return once the broker has it; raises NotConnected when it does not say so."""
        try:
            self._client.deliver(topic, payload, self._step("puback"))
            self._wait_for("puback")
        except NotLetIn as error:
            raise NotConnected(HUNG_UP) from error
        except TransportError as error:
            raise NotConnected(*error.problem) from error
        except Exception as error:
            raise NotConnected(*problem_of(error, self.link)) from error

    def when_lost(self, call: Callable[[], None]) -> None:
        """Have a function called, by any thread, when the connection is lost from now on."""
        self._inbox.on_close = call

    def publish(self, payload: bytes) -> None:
        """Send a report at QoS 0; raises NotConnected when it cannot be sent."""
        self.send(self.link.topic, payload)

    def send(self, topic: str, payload: bytes) -> None:
        """Send a message at QoS 0 to any topic; raises NotConnected when it cannot be sent."""
        try:
            sent = self._client.send(topic, payload)
        except Exception as error:
            raise NotConnected(*problem_of(error, self.link)) from error
        if not sent:
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
            self._subscribe(self.link.reply_topics[0], required=False)
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
        self._client.end()
        self._steps.put(("offline", None))  # for an attempt that waits: threads that end so early tell it nothing

    def _shake_hands(self) -> None:
        """Connect by TCP, proxy and TLS, and send CONNECT; whoever sends a byte now and then cannot draw it out."""
        if self._lost.is_set():
            raise TransportError(WAS_RESET)
        timer = threading.Timer(HANDSHAKE_TIMEOUT, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            self._client.connect(self._step("connack"))
        except Exception as error:
            if self._overdue:
                raise TransportError(*diagnosis.SILENT) from error
            raise
        finally:
            timer.cancel()

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
            self._client.disconnect(self._step("closed"))
            self._wait_for("closed", CLOSE_TIMEOUT)

    def _subscribe(self, topic: str, required: bool, hear: Callable[[Message], None] | None = None) -> None:
        self._client.subscribe(topic, self._step("suback"), hear or self._inbox.put)
        granted = self._wait_for("suback")
        if granted[0] == REFUSED and required:
            raise SubscriptionRefused(*diagnosis.subscription_refused(topic, self.link))

    def _step(self, name: str) -> Callable[[Any], None]:
        """Return what notes that a step is done, and what the broker said of it."""
        return lambda data: self._steps.put((name, data))

    def _wait_for(self, wanted: str, timeout: float | None = None) -> Any:
        try:
            step, data = self._steps.get(timeout=timeout or ANSWER_TIMEOUT)
        except queue.Empty:
            raise TransportError(*diagnosis.SILENT) from None
        if step != wanted:
            raise NotLetIn(*diagnosis.not_let_in(self.link))
        return data

    def _open_line(self) -> socket.socket:
        sock = self._open_socket()
        self._line = sock.dup()  # TLS takes the socket itself away; this one can still shut the line
        if self._lost.is_set():  # since before there was a line to shut
            self._hang_up()
        return sock

    def _on_offline(self) -> None:
        self._lost.set()
        self._client.end()
        self._steps.put(("offline", None))
        self._inbox.close()

    def _on_retry(self) -> None:
        if not self._lost.is_set():
            self._steps.put(("connack", SECOND_TRY))

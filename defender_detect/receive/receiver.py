"""The receiving side: an MQTT client of any broker that answers every report with its verdict."""

from __future__ import annotations

import logging
import ssl
import sys
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from defender_detect.errors import AlertError, CredentialsError, DetectError
from defender_detect.judge.topics import Topics
from defender_detect.judge.verdict import (
    CAPACITY,
    MINIMUM_INTERVAL,
    Accepted,
    LastReport,
    LastReports,
    Rejected,
    Verdict,
    judge,
)
from defender_detect.receive.connection import BufferedSocket, Client, Deafness
from defender_detect.receive.credentials import Credentials
from defender_detect.receive.endpoint import Endpoint, send_at_once
from defender_detect.receive.messages import Message, encode_message
from defender_detect.receive.notices import Notices

KEEP_ALIVE = 60  # seconds; a dead connection is noticed after at most twice that
SHORTEST_WAIT, LONGEST_WAIT = 1, 30  # seconds between two attempts to connect
QOS = 0  # a report that is lost has no verdict, and the thing sends a current one; a resent one would be throttled
STOP_TIMEOUT = 0.5  # seconds
MOST_REJECTED = 100  # reports of a thing in an interval; a good one every few seconds is answered, a flood is not read
LONGEST_TURN = 20.0  # seconds that an answer may take; it takes milliseconds, and longer only where something hangs
MOST_REMEMBERED = 10_000  # things that were rejected lately

log = logging.getLogger(__name__)


def ignore(*_: Any) -> None:
    """Do nothing; the default of what a receiver tells."""


class Rejections:
    """How often each thing was rejected in the current interval, so that none takes more than its share of our time."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._by_thing: OrderedDict[str, tuple[float, int]] = OrderedDict()  # when the first one was, and how many

    def count(self, thing: str, now: float) -> None:
        """Count a rejected report, and forget the thing for which one was counted least recently if there are many."""
        since, number = self._by_thing.pop(thing, (now, 0))
        self._by_thing[thing] = (since, number + 1) if now - since < self._interval else (now, 1)
        if len(self._by_thing) > MOST_REMEMBERED:
            self._by_thing.popitem(last=False)

    def are_enough(self, thing: str, now: float) -> bool:
        """Tell whether no more reports of a thing are to be read for now."""
        since, number = self._by_thing.get(thing, (now, 0))
        return number >= MOST_REJECTED and 0 <= now - since < self._interval


class Receiver:
    """Receives reports at a broker, judges them and publishes the replies, until it is stopped."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials,
        minimum_interval: float = MINIMUM_INTERVAL,
        on_ready: Callable[[], None] = ignore,
        on_failure: Callable[[DetectError], None] = ignore,
        topic: str | None = None,
        clock: Callable[[], float] = time.time,
        most_things: int = CAPACITY,
    ) -> None:
        """Prepare to connect; `on_ready` is called at each subscription, `on_failure` if trying again is useless.

        Reports arrive on the reserved topics, or on a `topic` of one's own with {thing_name} in it.
        """
        self._topics = Topics(topic)
        self.on_accepted: Callable[[Accepted, float], None] = ignore  # called with each report accepted, and when
        self.on_rejected: Callable[[Rejected], None] = ignore  # called with each other one that was read
        self._endpoint = endpoint
        self._minimum_interval = minimum_interval
        self._on_ready, self._on_failure = on_ready, on_failure
        self._clock = clock
        self._last_reports = LastReports(most_things)
        self._rejections = Rejections(minimum_interval)
        self._notices = Notices(log)
        self.deafness = Deafness()
        self._was_connected = False
        self._began: float | None = None  # of the monotonic clock: the answer that is under way
        self._thread: threading.Thread | None = None  # paho's, once it has called
        self._stopping = threading.Event()
        self._gone = threading.Event()
        self._client = self._make_client(credentials.client_context())

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        """Publish an alert; raise AlertError if there is no connection."""
        if self._client.publish(topic, payload, qos=QOS, retain=retain).rc != mqtt.MQTT_ERR_SUCCESS:
            raise AlertError(f"there is no connection to {self._endpoint}")

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return bool(self._client.is_connected())

    def lives(self) -> bool:
        """Tell whether reports are heard, or would be: paho's thread has not ended, and does not hang in an answer."""
        began = self._began
        hangs = began is not None and time.monotonic() - began > LONGEST_TURN
        return not hangs and (self._thread is None or self._thread.is_alive())

    def remember(self, thing: str, report_id: int, accepted_at: float) -> None:
        """Remember a report that an earlier run accepted."""
        self._last_reports.put(thing, LastReport(report_id, accepted_at))

    def start(self) -> None:
        """Connect in the background, and again whenever the connection is lost."""
        self._client.connect_async(self._endpoint.host, self._endpoint.port, keepalive=KEEP_ALIVE)
        self._client.loop_start()

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Disconnect; paho's thread is a daemon, so that one that hangs in a connect keeps nothing alive."""
        self._stopping.set()
        self._gone.clear()
        if self._client.disconnect() == mqtt.MQTT_ERR_SUCCESS:
            self._gone.wait(timeout)

    def answer(self, topic: str, payload: bytes) -> tuple[str, bytes] | None:
        """Judge what arrived, log the verdict and return the reply's topic and payload; None if it was no report."""
        parsed = self._topics.parse(topic, payload)
        if parsed is None:
            self._notices.say("name", f"message on {topic[:200]!a} ignored: no thing can have this name")
            return None
        now = self._clock()
        if self._rejections.are_enough(parsed.thing, now):
            self._say(parsed.thing, "unread", f"more than {MOST_REJECTED} reports rejected, what follows is not read")
            return None
        verdict = judge(parsed, payload, now, self._last_reports.find(parsed.thing), self._minimum_interval)
        if isinstance(verdict, Accepted):
            self._last_reports.remember(verdict, now)
            self.on_accepted(verdict, now)
        else:
            self._rejections.count(parsed.thing, now)
            self.on_rejected(verdict)
        self._log_verdict(verdict, payload)
        return verdict.reply()

    def _log_verdict(self, verdict: Verdict, payload: bytes) -> None:
        """Log one line per report: DEBUG if it was accepted, WARNING (the same once a minute) if not, or not whole."""
        line = f"report {verdict.report_id} of {len(payload)} bytes"
        if isinstance(verdict, Rejected):
            self._say(verdict.thing, verdict.code, f"{line} rejected: {verdict.code}: {verdict.message}")
            return
        if verdict.left_out:
            self._say(verdict.thing, "left out", f"report {verdict.report_id}: {verdict.warning}")
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: %s accepted", verdict.thing, line)
            log.debug("%s: %.2000a", verdict.thing, payload)

    def _say(self, thing: str, kind: str, text: str) -> None:
        if log.isEnabledFor(logging.DEBUG):  # whoever debugs wants to see each of them
            log.warning("%s: %s", thing, text)
        else:
            self._notices.say((thing, kind), f"{thing}: {text}")

    def _make_client(self, context: ssl.SSLContext) -> Client:
        context.sslsocket_class = BufferedSocket
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"amazon-defender-detect-{uuid.uuid4().hex[:8]}",  # a second Detect must not evict the first
        )
        client.tls_set_context(context)
        client.reconnect_delay_set(SHORTEST_WAIT, LONGEST_WAIT)
        client.on_socket_open = self._opened
        client.on_connect, client.on_connect_fail = self._connected, self._not_connected
        client.on_subscribe, client.on_messages = self._subscribed, self._received
        client.on_disconnect = self._disconnected
        return client

    def _opened(self, _client: mqtt.Client, _data: Any, connection: Any) -> None:
        send_at_once(connection)

    def _connected(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._thread = threading.current_thread()
        if reason.is_failure:
            log.error("%s refused the connection: %s; trying again", self._endpoint, reason)
            return
        self._was_connected = True
        client.subscribe([(topic_filter, QOS) for topic_filter in self._topics.filters])

    def _not_connected(self, _client: mqtt.Client, _data: Any) -> None:
        if self._stopping.is_set():
            return
        error = sys.exc_info()[1]  # paho calls this from its except clause, and does not hand the error on
        if isinstance(error, ssl.SSLCertVerificationError) and not self._was_connected:
            self._fail(CredentialsError(f"the certificate of {self._endpoint} is not trusted: {error.verify_message}"))
            return
        log.warning("no connection to %s: %s; trying again", self._endpoint, error)

    def _subscribed(self, _client: mqtt.Client, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self._fail(
                DetectError(f"{self._endpoint} refused the subscription to {' and '.join(self._topics.filters)}")
            )
        else:
            self.deafness.end()
            self._on_ready()

    def _fail(self, error: DetectError) -> None:
        self._stopping.set()
        self._on_failure(error)

    def _received(self, messages: Sequence[Message]) -> bytes:
        """Answer messages, and return the replies as packets."""
        self._began = time.monotonic()
        replies = [encode_message(*reply) for each in messages if (reply := self._answer_message(each)) is not None]
        self._began = None
        return b"".join(replies)

    def _answer_message(self, message: Message) -> tuple[str, bytes] | None:
        """Return the reply to a message, None if there is none."""
        if message.is_retained:
            text = f"retained message on {message.topic[:200]!a} ignored: reports are current, and never retained"
            self._notices.say("retained", text)
            return None
        try:
            return self.answer(message.topic, message.payload)
        except Exception:  # an exception here would end paho's thread, and Detect would be deaf from then on
            log.exception("no verdict on the report on %s", message.topic)
            return None

    def _disconnected(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._gone.set()
        self.deafness.begin()
        if reason.is_failure and not self._stopping.is_set():
            log.warning("connection to %s lost (%s); trying again", self._endpoint, reason)

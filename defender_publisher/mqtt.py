"""The MQTT transport: keeps one session open, publishes reports in it, and waits for Device Defender's verdict."""

from __future__ import annotations

import gc
import logging
import random
import threading
import time
from collections.abc import Callable
from functools import partial

import AWSIoTPythonSDK

from defender_publisher import diagnosis
from defender_publisher.config import Agent
from defender_publisher.credentials import validity_problem
from defender_publisher.errors import ConfigError, NotConnected, NoVerdict, TransportError
from defender_publisher.session import Link, Message, Session
from defender_publisher.settings import Settings
from defender_publisher.tcp import open_socket
from defender_publisher.transport import Delivery, parse_reply

log = logging.getLogger("defender_publisher")

VERDICT_TIMEOUT = 15.0  # seconds; AWS answers within one
CHECK_INTERVAL = 5.0  # seconds between two looks at a connection that is up
FIRST_RETRY, LAST_RETRY = 2.0, 300.0  # seconds; the longest wait doubles from the one to the other
SHORTEST_RETRY = 1.0  # seconds; AWS IoT takes one CONNECT per second and client ID
STABLE_AFTER = 30.0  # seconds; a connection that is lost sooner counts as a failed one
SOON_AFTER_PUBLISH = 5.0  # seconds; a connection closed within them was closed because of the report

OLDEST_SDK = (1, 6, 1)

OpenSession = Callable[[], Session]


def open_transport(settings: Settings) -> MqttTransport:
    """Return the transport that the settings describe, not yet connected; raises ConfigError for an old SDK."""
    check_sdk(AWSIoTPythonSDK.__version__)
    link = _link(settings)
    make_socket = partial(open_socket, link.host, link.port, settings.agent.proxy)
    return MqttTransport(
        link, lambda: Session(link, make_socket), settings.agent.format, answered=settings.agent.topic is None
    )


def check_sdk(version: str) -> None:
    """Raise ConfigError for an SDK that checks no host name on port 8883, as all up to 1.6.0 do."""
    if tuple(int(each) for each in version.split(".")[:3]) < OLDEST_SDK:
        raise ConfigError(
            [f"AWSIoTPythonSDK must be at least 1.6.1, which checks the server's name; this is {version}"]
        )


class MqttTransport:
    """Publishes reports by MQTT; a session that is lost is replaced by a new one, with full jitter in between.

    `answered` says whether Device Defender is at the other end: on a topic of one's own silence is no failure.
    """

    def __init__(
        self,
        link: Link,
        new_session: OpenSession,
        form: str = "json",
        answered: bool = True,
        verdict_timeout: float = VERDICT_TIMEOUT,
        chance: random.Random | None = None,
    ) -> None:
        self._link = link
        self._new_session = new_session
        self._form = form
        self._answered = answered
        self._verdict_timeout = verdict_timeout
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret
        self._session: Session | None = None
        self._connecting = threading.Lock()
        self._connected_at = 0.0
        self._failures = 0

    @property
    def connected(self) -> bool:
        """Whether a report can be published now."""
        return self._session is not None and self._session.alive

    def connect(self) -> None:
        """Connect, if not connected; raises TransportError with the reason when that fails."""
        with self._connecting:
            if self.connected:
                return
            self._drop()
            gc.collect()  # the SDK's clients are knots of references that hold three descriptors each
            problem = validity_problem(self._link.certificate) if self._link.certificate else None
            if problem:
                raise TransportError(problem)
            session = self._new_session()
            session.open(replies_required=self._answered)
            self._session, self._connected_at = session, time.monotonic()
        log.info("connected to %s:%d as %s", self._link.host, self._link.port, self._link.client_id)

    def keep_connected(self) -> float:
        """Connect where that is due, log why it fails, and return the seconds until this wants to be called again."""
        if self.connected:
            return CHECK_INTERVAL
        if self._session is not None:
            self._note_loss()
        try:
            self.connect()
        except TransportError as error:
            self._failures += 1
            wait = self._jittered()
            log.warning("not connected to %s: %s; next attempt in %.0f s", self._link.host, str(error), wait)
            return wait
        return CHECK_INTERVAL

    def publish(self, report_id: int, payload: bytes) -> Delivery:
        """Publish a report and return once it was accepted; raises as `Transport.publish` says."""
        session = self._session
        if session is None or not session.alive:
            raise NotConnected(f"not connected to {self._link.host}")
        session.forget_messages()
        began = time.monotonic()
        session.publish(payload)
        try:
            return self._await_verdict(session, report_id, began)
        except NotConnected as error:
            quick = time.monotonic() - began < SOON_AFTER_PUBLISH
            text = diagnosis.CLOSED_ON_PUBLISH.format(topic=self._link.topic) if quick else str(error)
            raise NoVerdict(text) from error

    def close(self) -> None:
        """Disconnect, within a second or two."""
        self._drop()

    def _await_verdict(self, session: Session, report_id: int, began: float) -> Delivery:
        deadline = began + self._verdict_timeout
        while True:
            message = session.next_message(deadline - time.monotonic())
            if message is None:
                return self._unanswered()
            if self._accepts(message, report_id):
                return Delivery(time.monotonic() - began)

    def _accepts(self, message: Message, report_id: int) -> bool:
        """Whether the message accepts this report; raises Rejected when it refuses it."""
        reply = parse_reply(message.topic, message.payload, self._form)
        if reply is None:
            log.warning("unreadable answer on %s: %r", message.topic, message.payload[:200])
        elif reply.report_id not in (None, report_id):
            log.info("an answer to report %s, not to %s, is passed over", reply.report_id, report_id)
        elif reply.accepted:
            return True
        else:
            raise reply.error(report_id)
        return False

    def _unanswered(self) -> Delivery:
        if self._answered:
            raise NoVerdict(
                f"neither accepted nor rejected within {self._verdict_timeout:.0f} s: is the thing registered, and "
                f"does the certificate's policy allow iot:Receive on {self._link.topic}/*?"
            )
        return Delivery(self._verdict_timeout, answered=False)

    def _note_loss(self) -> None:
        lasted = time.monotonic() - self._connected_at
        self._failures = 0 if lasted >= STABLE_AFTER else self._failures + 1
        log.warning("the connection to %s was lost after %.0f s", self._link.host, lasted)
        if self._failures == 3:
            log.warning(
                "three connections in a row were lost soon: does another client use the client ID %s?",
                self._link.client_id,
            )
        self._drop()

    def _jittered(self) -> float:
        longest = min(LAST_RETRY, FIRST_RETRY * 2 ** min(self._failures - 1, 16))
        return SHORTEST_RETRY + self._chance.uniform(0, longest - SHORTEST_RETRY)

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _link(settings: Settings) -> Link:
    agent: Agent = settings.agent
    authentication = agent.authentication
    mutual = authentication.method == "certificate"
    return Link(
        host=str(authentication.endpoint),
        port=int(authentication.port or 0),
        client_id=str(agent.client_id),
        topic=settings.topic,
        root_ca=str(authentication.root_ca),
        certificate=str(authentication.certificate) if mutual else "",
        private_key=str(authentication.private_key) if mutual else "",
        websocket=not mutual,
    )

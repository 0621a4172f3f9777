"""The MQTT transport: keeps one session open, publishes reports in it, and waits for Device Defender's verdict."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from defender_daemon.backoff import Backoff
from defender_daemon.certificate import problem_of_dates
from defender_publisher import diagnosis, verdict
from defender_publisher.errors import NotConnected, NotValidNow, NoVerdict, TransportError
from defender_publisher.inbox import Message
from defender_publisher.transport import Delivery, Link, Watcher
from device_defender.report import LARGEST_PAYLOAD

log = logging.getLogger("defender_publisher")

VERDICT_TIMEOUT = 15.0  # seconds; AWS answers within one
CHECK_INTERVAL = 30.0  # seconds between two looks at a connection that is up; its loss is heard at once
VALIDITY_CHECK = 10.0  # seconds between two looks whether the certificate is valid by now; they ask no network
SOON_AFTER_PUBLISH = 5.0  # seconds; a connection closed within them was closed because of the report
EVICTED_AFTER = 3  # connections lost soon in a row, from which on another client with our client ID is likely


class Session(Protocol):
    """One connection to a broker, which is never used again once it is lost; `alive` says whether it is up."""

    @property
    def alive(self) -> bool:
        """Whether the connection is up."""

    def open(self, replies_required: bool = True) -> None:
        """Connect and subscribe to the reply topics; raises TransportError with the reason."""

    def when_lost(self, call: Callable[[], None]) -> None:
        """Have a function called, by any thread, when the connection is lost from now on."""

    def publish(self, payload: bytes) -> None:
        """Send a report at QoS 0; raises NotConnected when it cannot be sent."""

    def next_message(self, timeout: float) -> Message | None:
        """Return the next message, or None after `timeout` seconds; raises NotConnected when the connection is lost."""

    def waiting_messages(self) -> Iterator[Message]:
        """Yield the messages that have arrived and that nobody waited for."""

    def answers(self) -> bool:
        """Whether the broker answers now, and so has received all that was sent before."""

    def close(self) -> None:
        """Disconnect, within a second or two."""


OpenSession = Callable[[], Session]


class MqttTransport:
    """Publishes reports by MQTT; a session that is lost is replaced by a new one, with full jitter in between.

    `answered` says whether Device Defender is at the other end: on a topic of one's own silence is no failure.
    `verdict_timeout` is in seconds, and holds from the next report on when it is set.
    """

    largest_report = LARGEST_PAYLOAD
    needs_restart = ""

    def __init__(
        self,
        link: Link,
        new_session: OpenSession,
        form: str = "json",
        answered: bool = True,
        verdict_timeout: float = VERDICT_TIMEOUT,
        backoff: Backoff | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self._link = link
        self._new_session = new_session
        self._form = form
        self._answered = answered
        self.verdict_timeout = verdict_timeout
        self._backoff = backoff or Backoff()
        self._watcher = watcher or Watcher()
        self._opening: Session | None = None
        self._session: Session | None = None
        self._connecting = threading.Lock()
        self._connected_at = 0.0
        self._resets = 0
        self._late: verdict.Verdicts = {}
        self.on_loss: Callable[[], None] = lambda: None

    @property
    def connected(self) -> bool:
        """Whether a report can be published now."""
        return self._session is not None and self._session.alive

    @property
    def first_delay(self) -> float:
        """The seconds to wait before `keep_connected` is called first."""
        return self._backoff.first_delay

    def connect(self) -> None:
        """Connect, if not connected; raises TransportError with the reason when that fails."""
        with self._connecting:
            if self.connected:
                return
            self._drop()
            self._session, self._connected_at = self._open_session(), time.monotonic()
            self._session.when_lost(self.on_loss)
        failed = self._backoff.connected()
        after = f" after {failed} failed attempt{'s' * (failed > 1)}" if failed else ""
        log.info("connected to %s as %s%s", self._link.place, self._link.client_id, after)
        self._watcher.connected()

    def keep_connected(self) -> float:
        """Connect where that is due, log why it fails, and return the seconds until this wants to be called again."""
        if self.connected:
            return CHECK_INTERVAL
        if self._session is not None:
            return self._note_loss()
        try:
            self.connect()
        except NotValidNow as error:
            log.warning("not connected: %s; waiting for that to change", error)
            return VALIDITY_CHECK
        except TransportError as error:
            wait = self._backoff.failed()
            log.warning("not connected to %s: %s; next attempt in %.0f s", self._link.host, str(error), wait)
            return wait
        return CHECK_INTERVAL if self.connected else 0.0  # lost before anybody listened

    def publish(self, report_id: int, payload: bytes) -> Delivery:
        """Publish a report and return once it was accepted; raises as `Transport.publish` says."""
        session = self._session
        if session is None or not session.alive:
            raise NotConnected(f"not connected to {self._link.host}")
        verdict.note_unasked(session, self._form, self._late)
        began = time.monotonic()
        try:
            session.publish(payload)
        except NotConnected:
            self._give_up(session)  # it looked alive; a new one will do
            raise
        try:
            accepted = verdict.wait_for(session, report_id, self._form, began + self.verdict_timeout, self._late)
        except NotConnected as error:
            quick = time.monotonic() - began < SOON_AFTER_PUBLISH
            raise NoVerdict(*(diagnosis.closed_on_publish(self._link) if quick else error.problem)) from error
        return Delivery(time.monotonic() - began) if accepted else self._unanswered(session)

    def late_verdicts(self) -> dict[int, bool]:
        """Return whether reports were accepted of which that was heard since the last call, when nobody waited."""
        if self._session is not None:
            verdict.note_unasked(self._session, self._form, self._late)
        late, self._late = self._late, {}
        return late

    def reset(self) -> None:
        """Tear the connection down, from any thread, so that whatever hangs in it ends and a new one is made."""
        self._resets += 1  # for an attempt that has no session yet
        for session in (self._opening, self._session):
            if session is not None:
                self._give_up(session)

    def close(self) -> None:
        """Disconnect, within a second or two."""
        self._drop()

    def _open_session(self) -> Session:
        resets = self._resets
        gc.collect()  # the SDK's clients are knots of references that hold three descriptors each
        problem = problem_of_dates(self._link.certificate) if self._link.certificate else None
        if problem:
            raise NotValidNow(*problem)
        try:
            session = self._opening = self._new_session()
        except OSError as error:  # it takes descriptors, of which there may be none
            raise TransportError(*diagnosis.explain(error, self._link)) from error
        if self._resets != resets:  # while there was nothing to tear down: this attempt is it
            session.close()
        try:
            session.open(replies_required=self._answered)
        finally:
            self._opening = None
        return session

    def _unanswered(self, session: Session) -> Delivery:
        """Tell a broker that has the report and does not answer it from one that is not there any more."""
        if not session.answers():
            self._give_up(session)
            raise NoVerdict(*diagnosis.stopped_answering(self.verdict_timeout))
        if self._answered:
            raise NoVerdict(*diagnosis.no_verdict(self.verdict_timeout, self._link), healthy=True)
        return Delivery(self.verdict_timeout, answered=False)

    def _give_up(self, session: Session) -> None:
        session.close()
        self.on_loss()

    def _note_loss(self) -> float:
        lasted = time.monotonic() - self._connected_at
        wait = self._backoff.lost_after(lasted)
        log.warning("the connection to %s was lost after %.0f s", self._link.host, lasted)
        if self._backoff.failures == EVICTED_AFTER:
            log.warning(
                "three connections in a row were lost soon: does another client use the client ID %s?",
                self._link.client_id,
            )
        self._watcher.disconnected()
        self._drop()
        return wait

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

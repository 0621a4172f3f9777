"""The verdict: Device Defender's answer to one report, picked out of what arrives on the reply topics."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Protocol

from defender_daemon.text import printable
from defender_publisher.inbox import Message
from defender_publisher.transport import Reply, parse_reply

log = logging.getLogger("defender_publisher")

MOST_OTHERS = 100  # reports whose verdicts are kept while that of another is waited for
SHOWN = 200  # bytes of a reply that cannot be read

Verdicts = dict[int, bool]  # report id -> whether it was accepted


class Messages(Protocol):
    """Where messages on the reply topics arrive: a `defender_publisher.session.Session`."""

    def next_message(self, timeout: float) -> Message | None:
        """Return the next message, or None after `timeout` seconds; raises NotConnected when the connection is lost."""

    def waiting_messages(self) -> Iterator[Message]:
        """Yield the messages that have arrived and that nobody waited for."""


def wait_for(messages: Messages, report_id: int, form: str, deadline: float, others: Verdicts) -> bool:
    """Return True once the report is accepted, and False when nobody says so until `deadline` (monotonic clock).

    Raises Rejected when it is refused, and NotConnected when the connection is lost. A rejection may not name its
    report, and is then that of the one waited for. What is said of other reports goes into `others`.
    """
    told = False  # of one reply to another report is enough, however many come
    while True:
        message = messages.next_message(deadline - time.monotonic())
        if message is None:
            return False
        reply = _read(message, form, told)
        if reply is not None and reply.report_id in (None, report_id):
            if reply.accepted:
                return True
            raise reply.error(report_id)
        if reply is not None:
            if not told:
                log.info("ignoring a reply to report %s while waiting for report %s", reply.report_id, report_id)
            _note(reply, others)
        told = True
        if time.monotonic() > deadline:  # although there are messages
            return False


def note_unasked(messages: Messages, form: str, others: Verdicts) -> None:
    """Put into `others` what arrived while nobody waited, where it names its report."""
    for message in messages.waiting_messages():
        reply = _read(message, form, told=False)
        if reply is not None:
            _note(reply, others)


def _note(reply: Reply, others: Verdicts) -> None:
    if reply.report_id is not None and len(others) < MOST_OTHERS:
        others[reply.report_id] = reply.accepted


def _read(message: Message, form: str, told: bool) -> Reply | None:
    reply = parse_reply(message.topic, message.payload, form)
    if reply is None and not told:
        shown = message.payload[:SHOWN]
        log.warning("ignoring a reply on %s that cannot be read: %r", printable(message.topic), shown)
    return reply

"""The verdict: Device Defender's answer to one report, picked out of what arrives on the reply topics."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Protocol

from defender_publisher.session import Message
from defender_publisher.transport import Reply, parse_reply

log = logging.getLogger("defender_publisher")

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
    while True:
        message = messages.next_message(deadline - time.monotonic())
        if message is None:
            return False
        reply = _read(message, form)
        if reply is None:
            continue
        if reply.report_id not in (None, report_id):
            log.info("an answer to report %s, not to %s, is passed over", reply.report_id, report_id)
            others[int(reply.report_id or 0)] = reply.accepted
        elif reply.accepted:
            return True
        else:
            raise reply.error(report_id)


def note_unasked(messages: Messages, form: str, others: Verdicts) -> None:
    """Put into `others` what arrived while nobody waited, where it names its report."""
    for message in messages.waiting_messages():
        reply = _read(message, form)
        if reply is not None and reply.report_id is not None:
            others[reply.report_id] = reply.accepted


def _read(message: Message, form: str) -> Reply | None:
    reply = parse_reply(message.topic, message.payload, form)
    if reply is None:
        log.warning("unreadable answer on %s: %r", message.topic, message.payload[:200])
    return reply

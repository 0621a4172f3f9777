"""Alerts: tells every target of an alarm that begins or ends, and keeps nobody waiting."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from defender_detect.alerts.log import log_alert
from defender_detect.alerts.queue import AlertQueue, Sink

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

STOP_TIMEOUT = 5.0  # seconds for all that waits


class Alerts:
    """Tells the log, and each sink by a queue of its own, so that one that hangs holds up no other."""

    def __init__(self, sinks: Iterable[Sink] = (), to_log: bool = True) -> None:
        """Begin to tell."""
        self.queues = [AlertQueue(sink) for sink in sinks]
        self._to_log = to_log

    def tell(self, event: Event) -> None:
        """Tell of an event, unless its behavior has suppressAlerts; returns at once."""
        if event.suppressed:
            return
        if self._to_log:
            log_alert(event)
        for queue in self.queues:
            queue.put(event)

    def close(self, timeout: float = STOP_TIMEOUT) -> None:
        """Hand over what waits, within so many seconds altogether."""
        deadline = time.monotonic() + timeout
        for queue in self.queues:
            queue.stop_waiting()
        for queue in self.queues:
            queue.close(max(0.0, deadline - time.monotonic()))

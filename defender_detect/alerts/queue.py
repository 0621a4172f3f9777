"""The alerts: each sink has a queue where they wait in order, bounded, and are retried with back-off until taken."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from defender_detect.alerts.log import log_alert
from defender_detect.errors import AlertError, AlertRefused

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

MOST_WAITING = 1_000  # alerts
GIVE_UP_AFTER = 24 * 3600.0  # seconds; older news is in the list of violations
FIRST, LAST = 1.0, 300.0  # seconds; the longest wait doubles from the one to the other, with jitter
LONGEST_ASKED = 3600.0  # seconds that the other side may ask us to wait
STOP_TIMEOUT = 5.0  # seconds for all that waits

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where alerts go."""

    name: str  # for the log, without anything secret
    give_up_after: float  # seconds

    def send(self, event: Event) -> None:
        """Hand over an alert within a bounded time; raises AlertRefused if it will never be taken, else AlertError."""


class Waiting(NamedTuple):
    """An alert, and until when it is tried."""

    event: Event
    until: float  # of the monotonic clock


class AlertQueue:
    """Hands alerts to one sink, one after the other, in a thread of its own; at least once each.

    `failed` counts attempts, `dropped` alerts that were never taken and never will be.
    """

    def __init__(
        self,
        sink: Sink,
        most: int = MOST_WAITING,
        first_wait: float = FIRST,
        chance: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to wait for alerts."""
        self.name = sink.name
        self.sent = self.failed = self.dropped = 0
        self._sink, self._most, self._first_wait, self._clock = sink, most, first_wait, clock
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret
        self._waiting: deque[Waiting] = deque()
        self._current: Waiting | None = None  # the one that is being handed over
        self._changed = threading.Condition()
        self._is_closing = False
        self._in_a_row = 0
        self._is_full = False
        self._thread = threading.Thread(target=self._run, name=f"alerts to {sink.name}", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._waiting) + (self._current is not None)

    def put(self, event: Event) -> None:
        """Let an alert wait for its turn; returns at once."""
        with self._changed:
            self._waiting.append(Waiting(event, self._clock() + self._sink.give_up_after))
            is_one_too_many = len(self._waiting) > self._most
            if is_one_too_many:
                self._waiting.popleft()
                self.dropped += 1
            self._changed.notify_all()
        if is_one_too_many and not self._is_full:
            self._is_full = True
            log.error("%s: %d alerts are waiting; the oldest are dropped from now on", self.name, self._most)

    def stop_waiting(self) -> None:
        """Hand over what waits and then end, without waiting any more for a sink that fails."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    def close(self, timeout: float) -> None:
        """End within so many seconds, and say what is left."""
        self.stop_waiting()
        self._thread.join(timeout)
        if left := len(self):
            log.error("%s: %d alerts were not delivered; the list of violations has them", self.name, left)

    def _run(self) -> None:
        while (waiting := self._wait_for_one()) is not None:
            while (wait := self._try(waiting)) is not None:
                with self._changed:
                    if self._changed.wait_for(lambda: self._is_closing, wait):
                        return
            self._current = None

    def _wait_for_one(self) -> Waiting | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closing)
            self._current = self._waiting.popleft() if self._waiting else None
            return self._current

    def _try(self, waiting: Waiting) -> float | None:
        """Try to hand over an alert; return None if that is settled, or the seconds to wait until the next attempt."""
        try:
            self._sink.send(waiting.event)
        except AlertRefused as error:
            self._give_up(waiting.event, error)
            return None
        except AlertError as error:
            return self._note_failure(waiting, error, error.wait)
        except Exception as error:  # a sink that is broken must neither end its thread nor pass unnoticed
            log.debug("%s failed", self.name, exc_info=True)
            return self._note_failure(waiting, error, None)
        if self._in_a_row:
            log.warning("%s: delivering alerts again after %d failures", self.name, self._in_a_row)
        self.sent, self._in_a_row = self.sent + 1, 0
        self._is_full = self._is_full and len(self._waiting) > self._most // 2
        return None

    def _note_failure(self, waiting: Waiting, error: Exception, asked: float | None) -> float | None:
        self.failed += 1
        self._in_a_row += 1
        if self._in_a_row == 1:
            log.error("%s: an alert was not delivered: %s; trying again", self.name, error)
        if self._clock() >= waiting.until:
            self._give_up(waiting.event, error)
            return None
        if asked is not None:
            return min(asked, LONGEST_ASKED)
        longest = min(LAST, self._first_wait * 2.0 ** min(self._in_a_row - 1, 16))
        return self._chance.uniform(longest / 2, longest)

    def _give_up(self, event: Event, error: Exception) -> None:
        self.dropped += 1
        what = f"{event.type} of {event.thing}, {event.profile}, {event.behavior}"
        log.error("%s: giving up on this alert: %s: %s", self.name, what, error)


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

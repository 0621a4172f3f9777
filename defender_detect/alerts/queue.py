"""The queue of a sink: alerts wait there in order, bounded, and are retried with back-off until they are taken."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from defender_detect.alerts.grouping import Message, Messages
from defender_detect.alerts.target import Sink
from defender_detect.errors import AlertError, AlertRefused

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

MOST_WAITING = 1_000  # alerts
FIRST, LAST = 1.0, 300.0  # seconds; the longest wait doubles from the one to the other, with jitter
LONGEST_ASKED = 3600.0  # seconds that the other side may ask us to wait
LISTED = "the list of violations has them"

log = logging.getLogger(__name__)


class AlertQueue:
    """Hands alerts to one sink, one message after the other, in a thread of its own; each at least once.

    `failed` counts attempts, `dropped` alerts that were never taken and never will be, `sent` messages.
    """

    def __init__(
        self,
        sink: Sink,
        most: int = MOST_WAITING,
        first_wait: float = FIRST,
        chance: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        group_seconds: float = 0.0,
        profiles: frozenset[str] | None = None,
    ) -> None:
        """Begin to wait for alerts; those of some `profiles`, or of all."""
        self.name = sink.name
        self._profiles = profiles
        self.sent = self.failed = self.dropped = 0
        self.give_up_after = sink.give_up_after
        self._sink, self._most, self._first_wait, self._clock = sink, most, first_wait, clock
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret
        self._waiting = Messages(group_seconds, most)
        self._current: Message | None = None  # the one that is being handed over
        self._newest = -math.inf  # time of an event that was put
        self._changed = threading.Condition()
        self._is_closing = False
        self._in_a_row = 0
        self._is_full = False
        self._thread = threading.Thread(target=self._run, name=f"alerts to {sink.name}", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._waiting) + (self._current is not None)

    @property
    def heard_until(self) -> float | None:
        """The time of the first event that the sink may not have heard of; None if there was no event yet."""
        with self._changed:
            left: list[float] = [message.since for message in (*self._waiting, self._current) if message is not None]
            if left:
                return min(left)
            return None if self._newest == -math.inf else math.nextafter(self._newest, math.inf)

    def put(self, event: Event) -> None:
        """Let an alert wait for its turn, if it is for this sink; returns at once."""
        if self._profiles is not None and event.profile not in self._profiles:
            return
        with self._changed:
            now = self._clock()
            before = self._waiting.wait(now)
            dropped = self._waiting.put(event, now, now + self._sink.give_up_after)
            self._newest = max(self._newest, event.time)
            if dropped is not None:
                self.dropped += dropped.count
            if self._waiting.wait(now) != before:  # not for each of many: who waits for their end need not wake
                self._changed.notify_all()
        if dropped is not None and not self._is_full:
            self._is_full = True
            log.error("%s: %d alerts are waiting; the oldest are dropped from now on", self.name, self._most)

    def stop_waiting(self) -> None:
        """Hand over what waits and then end, without waiting any more for a sink that fails."""
        with self._changed:
            self._is_closing = True
            self._waiting.gather(self._clock())
            self._changed.notify_all()

    def close(self, timeout: float, where: str = LISTED) -> None:
        """End within so many seconds, and say what is left, and `where` it is."""
        self.stop_waiting()
        self._thread.join(timeout)
        if left := len(self):
            log.error("%s: %d alerts were not delivered; %s", self.name, left, where)

    def _run(self) -> None:
        while (message := self._wait_for_one()) is not None:
            while (wait := self._try(message)) is not None:
                with self._changed:
                    if self._changed.wait_for(lambda: self._is_closing, wait):
                        return
            with self._changed:
                self._current = None

    def _wait_for_one(self) -> Message | None:
        with self._changed:
            while True:
                self._current = self._waiting.take(self._clock())
                if self._current is not None or self._is_closing:
                    return self._current
                self._changed.wait(self._waiting.wait(self._clock()))

    def _try(self, message: Message) -> float | None:
        """Try to hand over a message; return None if that is settled, or the seconds to wait until the next attempt."""
        try:
            self._sink.send(message.told())
        except AlertRefused as error:
            self._give_up(message, error)
            return None
        except AlertError as error:
            return self._note_failure(message, error, error.wait)
        except Exception as error:  # a sink that is broken must neither end its thread nor pass unnoticed
            log.debug("%s failed", self.name, exc_info=True)
            return self._note_failure(message, error, None)
        if self._in_a_row:
            log.warning("%s: delivering alerts again after %d failures", self.name, self._in_a_row)
        self.sent, self._in_a_row = self.sent + 1, 0
        self._is_full = self._is_full and len(self._waiting) > self._most // 2
        return None

    def _note_failure(self, message: Message, error: Exception, asked: float | None) -> float | None:
        self.failed += 1
        self._in_a_row += 1
        if self._in_a_row == 1:
            log.error("%s: an alert was not delivered: %s; trying again", self.name, error)
        if self._clock() >= message.until:
            self._give_up(message, error)
            return None
        if asked is not None:
            return min(asked, LONGEST_ASKED)
        longest = min(LAST, self._first_wait * 2.0 ** min(self._in_a_row - 1, 16))
        return self._chance.uniform(longest / 2, longest)

    def _give_up(self, message: Message, error: Exception) -> None:
        self.dropped += message.count
        event, more = message.event, f" and {message.count - 1} more" if message.count > 1 else ""
        what = f"{event.type} of {event.thing}, {event.profile}, {event.behavior}{more}"
        log.error("%s: giving up on this alert: %s: %s", self.name, what, error)

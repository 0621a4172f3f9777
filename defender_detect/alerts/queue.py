"""The alerts: each sink has a queue where they wait in order, bounded, and are retried with back-off until taken."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from defender_detect.alerts.delivered import Delivered, Times
from defender_detect.alerts.followers import Follower, Reported
from defender_detect.alerts.grouping import Message, Messages
from defender_detect.alerts.log import log_alert
from defender_detect.alerts.target import Sink
from defender_detect.errors import AlertError, AlertRefused

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event, Violation

MOST_WAITING = 1_000  # alerts
FIRST, LAST = 1.0, 300.0  # seconds; the longest wait doubles from the one to the other, with jitter
LONGEST_ASKED = 3600.0  # seconds that the other side may ask us to wait
STOP_TIMEOUT = 5.0  # seconds for all that waits
SHORTEST_STOP = 0.5  # seconds for a follower, however long others took
LISTED = "the list of violations has them"
KEPT = "they are sent after the next start"

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


class Alerts:
    """Tells the log, and each sink by a queue of its own, so that one that hangs holds up no other."""

    def __init__(
        self,
        sinks: Iterable[Sink] = (),
        to_log: bool = True,
        group_seconds: float = 0.0,
        directory: Path | None = None,
        followers: Iterable[Follower] = (),
        of_profiles: Iterable[tuple[Sink, frozenset[str]]] = (),
    ) -> None:
        """Begin to tell all sinks, and some of the alarms `of_profiles`.

        What has been delivered is kept in a directory, for `restore` after a restart.
        """
        self.queues = [AlertQueue(sink, group_seconds=group_seconds) for sink in sinks]
        self.queues += [AlertQueue(sink, group_seconds=group_seconds, profiles=names) for sink, names in of_profiles]
        self._to_log = to_log
        self._followers = tuple(followers)
        self._listeners = tuple(each for each in self._followers if each.hears_reports)
        self._delivered = Delivered(directory, self._times) if directory is not None and self.queues else None
        self._started = time.time()
        self._late: list[float] = []  # times of first events that are going to be told, and older than others were

    @property
    def told_until(self) -> float | None:
        """The time of the first event that somebody may not have heard of in an earlier run; None if there is none."""
        since = [time for _, time in self._earlier()]
        return min(since) if since else None

    def restore(self, events: Iterable[Event]) -> int:
        """Tell again what an earlier run may not have told, and return how many events that are; then keep track."""
        earlier, number = self._earlier(), 0
        for event in events:
            queues = [queue for queue, since in earlier if event.time >= since and not event.suppressed]
            number += bool(queues)
            for queue in queues:
                queue.put(event)
        if self._delivered is not None:
            self._delivered.start()
        return number

    @property
    def hears_reports(self) -> bool:
        """Whether anybody wants to hear of reports."""
        return bool(self._listeners)

    def report(self, reported: Reported) -> None:
        """Tell of a report those who want to hear of it; returns at once."""
        for each in self._listeners:
            each.report(reported)

    def begin(self, active: Callable[[], Iterable[Violation]]) -> None:
        """Let the followers show the alarms that are on from an earlier run."""
        for each in self._followers:
            each.begin(active())

    def tell(self, event: Event) -> None:
        """Tell of an event, unless its behavior has suppressAlerts; returns at once."""
        if event.suppressed:
            return
        if self._to_log:
            log_alert(event)
        for queue in self.queues:
            queue.put(event)
        for follower in self._followers:
            follower.tell(event)

    @contextmanager
    def announced(self, events: Iterable[Event]) -> Iterator[None]:
        """Know of events until they are told, some of which may be older than others that have been.

        Whoever is killed meanwhile tells all again, from the first of them on. Several threads may do this at a time.
        """
        late = min((event.time for event in events if not event.suppressed), default=math.inf)
        self._late.append(late)
        try:
            if self._delivered is not None and late < math.inf:
                self._delivered.write()
            yield
        finally:
            self._late.remove(late)

    def close(self, timeout: float = STOP_TIMEOUT) -> None:
        """Hand over what waits, within so many seconds altogether."""
        deadline = time.monotonic() + timeout
        for queue in self.queues:
            queue.stop_waiting()
        for queue in self.queues:
            queue.close(max(0.0, deadline - time.monotonic()), LISTED if self._delivered is None else KEPT)
        for follower in self._followers:
            follower.close(max(SHORTEST_STOP, deadline - time.monotonic()))
        if self._delivered is not None:
            self._delivered.close(STOP_TIMEOUT)

    def _named(self) -> Iterator[tuple[str, AlertQueue]]:
        """Yield the queues, each with a name that no other has."""
        number: Counter[str] = Counter()
        for queue in self.queues:
            number[queue.name] += 1
            yield f"{queue.name} #{number[queue.name]}", queue

    def _earlier(self) -> list[tuple[AlertQueue, float]]:
        """Return the queues that an earlier run had, each with the time from which on it may not have heard."""
        known = {} if self._delivered is None else self._delivered.earlier
        oldest = time.time()
        return [
            (queue, max(known[name], oldest - queue.give_up_after)) for name, queue in self._named() if name in known
        ]

    def _times(self) -> Times:
        known = {} if self._delivered is None else self._delivered.earlier
        found = ((name, queue.heard_until) for name, queue in self._named())
        times = ((name, known.get(name, self._started) if since is None else since) for name, since in found)
        late = min(tuple(self._late), default=math.inf)  # a copy: others add to it meanwhile
        return {name: min(since, late) for name, since in times}

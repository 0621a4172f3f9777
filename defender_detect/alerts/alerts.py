"""The alerts: the log, every sink and every follower hear of what happens, and of what an earlier run left untold."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from defender_detect.alerts.delivered import Delivered, Times
from defender_detect.alerts.followers import Follower, Reported
from defender_detect.alerts.log import log_alert
from defender_detect.alerts.queue import LISTED, AlertQueue
from defender_detect.alerts.target import Sink

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event, Violation

STOP_TIMEOUT = 5.0  # seconds for all that waits
SHORTEST_STOP = 0.5  # seconds for a follower, however long others took
KEPT = "they are sent after the next start"


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

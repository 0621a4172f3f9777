"""Grouping: the first alarm of a behavior is told at once, the others of the same time together, in one message.

A message of many has the first of them, how many there are, and the first names: what waits takes no more memory
however many there are, and nothing is lost by waiting.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from defender_detect.evaluate.alarms import IN_ALARM, Group
from defender_detect.evaluate.sentences import MOST_NAMES

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event

GROUP_SECONDS = 60.0
AT_ONCE = 8  # messages in a time, for the first alarms of as many behaviors; what comes then waits for its end
TOGETHER = 8  # messages at its end, for as many behaviors; one more has the others: at most 26 within a minute
BACKLOG = 100  # messages that are ready; while a target takes none, alarms are added to those that are not

Key = tuple[str, str, str]  # profile, behavior and what happened


class Message:
    """One or more events that are told together."""

    def __init__(self, event: Event, until: float) -> None:
        self.event, self.until = event, until  # the first, and until when it is tried
        self.count = 1
        self.since = event.time  # of the earliest
        self._things = {event.thing: None}
        self._rules = {f"{event.behavior} of {event.profile}": None}

    def add(self, event: Event) -> None:
        """Count one more event."""
        self._count(1, event.time, [event.thing], [f"{event.behavior} of {event.profile}"])

    def join(self, other: Message) -> None:
        """Count the events of another message, too."""
        self._count(other.count, other.since, other._things, other._rules)

    def told(self) -> Event:
        """Return the first event, with how many there are if there are more."""
        if self.count == 1:
            return self.event
        rules = tuple(self._rules) if len(self._rules) > 1 else ()
        return replace(self.event, group=Group(self.count, tuple(self._things), rules))

    def _count(self, count: int, since: float, things: Iterable[str], rules: Iterable[str]) -> None:
        self.count += count
        self.since = min(self.since, since)
        for names, new in ((self._things, things), (self._rules, rules)):
            for name in new:
                if len(names) < MOST_NAMES:
                    names[name] = None


class Messages:
    """What waits to be told, in order; `seconds` is how long others of a behavior are gathered, 0 for not at all."""

    def __init__(self, seconds: float = 0.0, most: int = 1_000) -> None:
        self._seconds, self._most = seconds, most
        self._ready: deque[Message] = deque()
        self._gathering: dict[Key, Message] = {}
        self._told: dict[Key, float] = {}  # when a message of each was ready last
        self._end = -math.inf  # of the present time
        self._left = AT_ONCE

    def __len__(self) -> int:
        return len(self._ready) + len(self._gathering)

    def __iter__(self) -> Iterator[Message]:
        yield from self._ready
        yield from self._gathering.values()

    def put(self, event: Event, now: float, until: float) -> Message | None:
        """Let an event wait; return the oldest message if there are too many for it."""
        if self._seconds <= 0:
            self._ready.append(Message(event, until))
            return self._ready.popleft() if len(self._ready) > self._most else None
        self._begin(now)
        key = (event.profile, event.behavior, event.type)
        if key in self._gathering:
            self._gathering[key].add(event)
        elif self._may_be_first(key, now):
            self._left -= 1
            self._told[key] = now
            self._ready.append(Message(event, until))
        else:
            self._gathering[key] = Message(event, until)
        return None

    def take(self, now: float) -> Message | None:
        """Return the next message that is ready, None if there is none."""
        if self._gathering and now >= self._end and self._has_room():
            self.gather(now)
        return self._ready.popleft() if self._ready else None

    def wait(self, now: float) -> float | None:
        """Return in how many seconds something may be ready; None if nothing waits."""
        if self._ready:
            return 0.0
        return max(0.0, self._end - now) if self._gathering else None

    def gather(self, now: float) -> None:
        """Make what was gathered ready: a message for each behavior, and one for all others if there are many."""
        gathered, self._gathering = self._gathering, {}
        largest = sorted(gathered, key=lambda key: -gathered[key].count)
        others = [gathered.pop(key) for key in largest[TOGETHER:]]
        self._told.update(dict.fromkeys(largest, now))
        self._ready.extend(gathered.values())  # in the order of their first events
        if others:
            for each in others[1:]:
                others[0].join(each)
            self._ready.append(others[0])

    def _may_be_first(self, key: Key, now: float) -> bool:
        """Whether a behavior's event is told at once; nobody is to hear of an end before its beginning."""
        was_told = now < self._told.get(key, -math.inf) + self._seconds
        return self._left > 0 and not was_told and (*key[:2], IN_ALARM) not in self._gathering and self._has_room()

    def _has_room(self) -> bool:
        return len(self._ready) < BACKLOG

    def _begin(self, now: float) -> None:
        """Begin another time if the last one is over."""
        if now >= self._end and not self._gathering:
            self._end, self._left = now + self._seconds, AT_ONCE
            self._told = {key: when for key, when in self._told.items() if now < when + self._seconds}

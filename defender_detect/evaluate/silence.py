"""Silence: which things are to be looked at, and when, so that nobody looks at all of them, nor at any per report.

`aws:disconnect-duration` counts whole minutes since a thing's last report: a receiver knows nothing else of it. AWS
counts those since the thing's connection ended, and its metric is 0 while the thing is connected and says nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from defender_detect.evaluate.alarms import Event, Lasting, Subject, step

if TYPE_CHECKING:
    from defender_detect.evaluate.ruleset import Memory, Ruleset

MINUTE = 60.0  # seconds; the metric's unit
DATAPOINT = 300.0  # seconds between two datapoints of silence, where more than one makes an alarm; as AWS's windows
AGAIN = 3600.0  # seconds between two looks at a thing whose silence is known, which keep the list of violations right
NEVER = -1.0  # a report of the very time of a look is another datapoint, which two reports of one time are not
SLACK = 0.001  # seconds; what is due at a time may be a little less than so many minutes, as floats are


class Looked(NamedTuple):
    """What came of a look at a thing: its memory after it, events, alarms that last, and when to look again."""

    memory: Memory
    events: tuple[Event, ...]
    lasting: tuple[Lasting, ...]
    due: float


class Watch:
    """When each thing is to be looked at next; a report changes nothing here, which is seen at the next look."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []  # some are out of date: those whose time is not that of `_due`

    def __contains__(self, thing: str) -> bool:
        return thing in self._due

    def put(self, thing: str, due: float) -> None:
        """Look at a thing at a time, and at no other."""
        self._due[thing] = due
        heapq.heappush(self._heap, (due, thing))

    def take(self, now: float) -> Iterator[tuple[str, float]]:
        """Yield each thing whose time has come, with that time, and forget it, the longest due first."""
        while self._heap and self._heap[0][0] <= now:
            due, thing = heapq.heappop(self._heap)
            if self._due.get(thing) == due:
                del self._due[thing]
                yield thing, due

    def clear(self) -> None:
        """Look at no thing."""
        self._due.clear()
        self._heap.clear()

    def put_off(self, seconds: float) -> None:
        """Look at every thing so much later: nobody could hear them meanwhile."""
        self._due = {thing: due + seconds for thing, due in self._due.items()}
        self._heap = [(due, thing) for thing, due in self._due.items()]
        heapq.heapify(self._heap)


def next_look(ruleset: Ruleset, memory: Memory) -> float | None:
    """Return when a thing is to be looked at next; None if no behavior is about silence.

    After other rules came into force that is not before they did.
    """
    if ruleset.first_look is None:
        return None
    if memory.looked and memory.looked >= ruleset.since:
        return _look_again(ruleset, memory, memory.looked)
    return max(memory.reported + ruleset.first_look, ruleset.since)


def look(thing: str, memory: Memory, ruleset: Ruleset, at: float) -> Looked:
    """Evaluate a thing's silence at a time at which one of its behaviors asked for that."""
    minutes = _minutes(memory, at)
    states = list(memory.states)
    events: list[Event] = []
    lasting: list[Lasting] = []
    for index in ruleset.silences:
        rule, state = ruleset.rules[index], states[index]
        if rule.evaluate(memory.histories[index], minutes, at, None)[2]:
            continue
        after, event = step(state, Subject(thing, rule.profile, rule.behavior), False, at, minutes)
        states[index] = structs.replace(after, updated=NEVER)
        if event is not None:
            events.append(event)
        elif state.in_alarm:
            lasting.append(Lasting(state.violation_id, minutes))
    looked = structs.replace(memory, states=tuple(states), looked=at)
    return Looked(looked, tuple(events), tuple(lasting), _look_again(ruleset, looked, at))


def _look_again(ruleset: Ruleset, memory: Memory, at: float) -> float:
    """Return when to look again after a look, which is after it."""
    minutes, due = _minutes(memory, at), []
    for index in ruleset.silences:
        rule, state = ruleset.rules[index], memory.states[index]
        if rule.evaluate(memory.histories[index], minutes, at, None)[2]:
            due.append(memory.reported + (rule.silence or 0.0))
        else:
            wait = AGAIN if state.in_alarm else DATAPOINT
            due.append(at + min(wait, rule.silence or wait))  # no later: it may report now, and fall silent again
    return min((each for each in due if each > at), default=at + AGAIN)


def _minutes(memory: Memory, at: float) -> int:
    return int((at - memory.reported + SLACK) // MINUTE)

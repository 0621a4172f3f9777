"""The detector: Rules Detect for all things; it remembers the alarms of each that reported within two days."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import structs

from defender_detect.evaluate.alarms import Event, Lasting, is_silent
from defender_detect.evaluate.kernel import catch_up, end_alarms, is_redelivered
from defender_detect.evaluate.rules import ALL_THINGS, Attachment, Rules
from defender_detect.evaluate.ruleset import NO_THRESHOLDS, Memory, Ruleset, forget, rearrange, unpack
from defender_detect.evaluate.silence import Watch, look, next_look
from defender_detect.metrics import FORGOTTEN_AFTER, Value, metric_values
from defender_detect.profiles import Profile
from device_defender.report import Report

__all__ = ["ALL_THINGS", "MOST_THINGS", "NOTHING", "Attachment", "Detector", "Finding", "Rules"]

MOST_THINGS = 1_000_000  # remembered, about 1.3 KB each; a broker without access control lets anyone make up names
NOTHING = forget(()).pack(())  # the state of a thing of which nothing is remembered

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """What a report brought: the metrics to keep, the alarms that began or ended, and those that last.

    `state` is the thing's packed state after it, None where it is as before.
    """

    thing: str
    values: Mapping[str, Value] | None
    events: Sequence[Event] = ()
    lasting: Sequence[Lasting] = ()
    state: bytes | None = None


class Detector:
    """Evaluates the reports of all things; not to be used by two threads at once.

    It remembers the things that reported within two days. What it knows of others is worth nothing: their alarms are
    invalid, and no window is that long. Where there are too many, new things are not admitted: to forget others would
    be worse, because in a fleet that reports in turn that is everybody before its next report.
    """

    def __init__(self, rules: Rules, most_things: int = MOST_THINGS, hears_all: bool = True) -> None:
        """Begin with nothing remembered.

        Who is connected to a broker may be deaf for a while, and so does not hear all: a silence counts only once
        somebody looks for it. Otherwise it counts at its own time, whenever that is noticed.
        """
        self.rules = rules
        self.most_things = most_things
        self.refused = 0  # reports of things that were not admitted
        self._hears_all = hears_all
        self._things: OrderedDict[str, Memory] = OrderedDict()  # the one that is silent for longest comes first
        self._watch = Watch()

    @classmethod
    def of(cls, profiles: Iterable[Profile]) -> Detector:
        """Return a detector of profiles that are for all things."""
        return cls(Rules([Attachment(profile) for profile in profiles]))

    def __len__(self) -> int:
        return len(self._things)

    @property
    def is_full(self) -> bool:
        """Whether no new thing is admitted."""
        return len(self._things) >= self.most_things

    def observe(self, thing: str, report: Report, now: float) -> Finding | None:
        """Evaluate an accepted report and return what it brought; None if the thing is new and not admitted.

        One that comes twice, with the same id and at no later time, has no effect.
        """
        return self.observe_values(thing, metric_values(report), now, report.header.report_id)

    def observe_values(
        self, thing: str, values: Mapping[str, Value], now: float, report_id: int | None = None
    ) -> Finding | None:
        """Evaluate what a report holds, by the metrics' names in a profile; None if the thing is not admitted."""
        known = self._things.get(thing)
        if known is None and self.is_full:
            self.refused += 1
            return None
        ruleset, before = self.rules.of(thing), known
        ended: tuple[Event, ...] = ()
        if known is not None:
            if report_id is not None and is_redelivered(known, report_id, now):
                return Finding(thing, None)
            before, ended, _ = catch_up(ruleset, thing, known, now, self._hears_all)
        thresholds = self.rules.thresholds(ruleset, now) if ruleset.ranked else NO_THRESHOLDS
        memory, events, lasting, datapoints = ruleset.observe(
            thing, before or forget(ruleset.names), values, now, thresholds, report_id or 0
        )
        self.rules.count(datapoints)
        self._things[thing] = memory
        self._things.move_to_end(thing)
        if before is None or memory.reported < before.reported:  # the clock was set back
            self._watch_out(thing, ruleset, memory)
        retained = {name: value for name, value in values.items() if name in ruleset.retained}
        is_as_before = known is not None and before is not None and memory.is_like(known)
        return Finding(thing, retained, ended + events, lasting, None if is_as_before else memory.pack(ruleset.names))

    def find_silent(self, now: float, noticed: float | None = None) -> Iterator[Finding]:
        """Yield what comes of the silence of things, for behaviors that say how long one is normal.

        The time of an alarm is when the silence became too long, or when it was `noticed`.
        """
        for thing, due in self._watch.take(now):
            memory, ruleset = self._things.get(thing), self.rules.of(thing)
            if memory is None or not ruleset.silences:
                continue
            if memory.reported > due:  # it has reported since, or the clock was set back
                self._watch_out(thing, ruleset, structs.replace(memory, reported=min(memory.reported, now)))
                continue
            at = due if noticed is None else noticed
            if is_silent(memory.reported, at):
                continue  # `expire` ends its alarms
            looked = look(thing, memory, ruleset, at)
            self._things[thing] = looked.memory
            self._watch.put(thing, looked.due)
            if looked.memory.states != memory.states:
                yield Finding(thing, None, looked.events, looked.lasting, looked.memory.pack(ruleset.names))
            elif looked.lasting:
                yield Finding(thing, None, (), looked.lasting)

    def excuse(self, seconds: float) -> None:
        """Let nobody be silent for a time in which nobody could be heard."""
        self._watch.put_off(seconds)

    def expire(self, now: float) -> Iterator[Finding]:
        """Forget the things that have not reported for two days, and yield the findings of those that were in alarm.

        The time of what is invalidated is when the two days were over, whenever somebody looks.
        """
        while self._things:
            thing, memory = next(iter(self._things.items()))
            if is_silent(memory.reported, now):
                del self._things[thing]
                if events := self._end(thing, memory):
                    yield Finding(thing, None, events, state=NOTHING)
            elif memory.reported > now:  # the clock was set back: nobody is to wait behind this one until then
                self._things[thing] = structs.replace(memory, reported=now)
                self._things.move_to_end(thing)
            else:
                return

    def restore(self, thing: str, packed: bytes | None, reported: float, now: float, report_id: int = 0) -> None:
        """Go on with what was packed of a thing by an earlier run, or under other rules; the longest silent first.

        Of a thing that has not reported for two days only alarms are remembered, for `expire` to end; nothing is of the
        first where there are too many.
        """
        memory = self._unpack(thing, packed, reported, report_id)
        if not is_silent(reported, now):
            self._watch_out(thing, self.rules.of(thing), memory)
        elif reported <= 0 or not memory.in_alarm:
            return
        self._things[thing] = memory
        if len(self._things) > self.most_things:
            self._things.popitem(last=False)

    def follows(self, thing: str, violation_id: str) -> bool:
        """Whether an alarm is on as far as is remembered."""
        memory = self._things.get(thing)
        return memory is not None and any(state.violation_id == violation_id for state in memory.states)

    def pack(self, thing: str) -> bytes:
        """Return what is to be kept of a thing."""
        memory = self._things.get(thing)
        return NOTHING if memory is None else memory.pack(self.rules.of(thing).names)

    def replace(self, rules: Rules, now: float) -> list[Finding]:
        """Go on with other rules; behaviors of the same name keep their alarms, those of the others are invalidated."""
        findings = [*self.find_silent(now), *self.expire(now)] if self._hears_all else []
        before, self.rules = self.rules, rules
        rules.succeed(before, now)
        rules.restore_populations(before.populations)
        for thing, memory in list(self._things.items()):
            old, new = before.of(thing), rules.of(thing)
            if old.names != new.names:
                gone = [(rule, state) for rule, state in zip(old.rules, memory.states) if rule.name not in new.names]
                self._things[thing] = after = rearrange(memory, old.names, new.names)
                if events := end_alarms(thing, gone, min(now, memory.reported + FORGOTTEN_AFTER)):
                    findings.append(Finding(thing, None, events, state=after.pack(new.names)))
        self._watch.clear()
        for thing, memory in self._things.items():
            self._watch_out(thing, rules.of(thing), structs.replace(memory, reported=min(memory.reported, now)))
        return findings

    def _watch_out(self, thing: str, ruleset: Ruleset, memory: Memory) -> None:
        due = next_look(ruleset, memory)
        if due is not None:
            self._watch.put(thing, due)

    def _unpack(self, thing: str, packed: bytes | None, reported: float, report_id: int) -> Memory:
        names = self.rules.of(thing).names
        try:
            return unpack(packed or NOTHING, names, reported, report_id)
        except msgspec.DecodeError as error:
            log.error("what was kept of %s cannot be read (%s): its alarms start over", thing, error)
            return unpack(NOTHING, names, reported, report_id)

    def _end(self, thing: str, memory: Memory) -> tuple[Event, ...]:
        if not memory.in_alarm:
            return ()
        return end_alarms(thing, zip(self.rules.of(thing).rules, memory.states), memory.reported + FORGOTTEN_AFTER)

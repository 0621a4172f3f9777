"""The detector: Rules Detect for all things; it remembers the alarms of each that reported within two days."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from defender_detect.evaluate.alarms import (
    Event,
    Lasting,
    State,
    Subject,
    invalidate,
    is_silent,
    new_violation_id,
)
from defender_detect.evaluate.ruleset import Memory, Populations, Rule, Ruleset, forget, unpack
from defender_detect.evaluate.silence import Watch, first_due, look
from defender_detect.metrics import Value, metric_values
from defender_detect.profiles import Profile
from device_defender.report import Report

MOST_THINGS = 1_000_000  # remembered, about 1.3 KB each; a broker without access control lets anyone make up names
NOTHING = forget(()).pack(())  # the state of a thing of which nothing is remembered
ALL_THINGS = "all"  # the target that every thing belongs to

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attachment:
    """A profile, and what it is for: "all", or names of thing groups."""

    profile: Profile
    targets: frozenset[str] = frozenset({ALL_THINGS})


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


@dataclass
class Rules:
    """Which profiles are for which thing: attachments and thing groups, with the rulesets that follow from them."""

    attachments: Sequence[Attachment] = ()
    groups: Mapping[str, Collection[str]] = field(default_factory=dict)
    populations: Populations = field(default_factory=dict)
    _rulesets: dict[frozenset[int], Ruleset] = field(default_factory=dict)
    _applying: dict[str, frozenset[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for_all = frozenset(i for i, each in enumerate(self.attachments) if ALL_THINGS in each.targets)
        self._for_all = for_all
        for index, each in enumerate(self.attachments):
            for group in each.targets - {ALL_THINGS}:
                for thing in self.groups.get(group, ()):
                    self._applying[thing] = self._applying.get(thing, for_all) | {index}

    def restore_populations(self, kept: Populations) -> None:
        """Go on with the percentiles of an earlier run, before anything is evaluated."""
        self.populations.update(kept)
        self._rulesets.clear()

    def of(self, thing: str) -> Ruleset:
        """Return the rules for a thing; things with the same profiles share them."""
        applying = self._applying.get(thing, self._for_all)
        ruleset = self._rulesets.get(applying)
        if ruleset is None:
            profiles = [self.attachments[index].profile for index in sorted(applying)]
            ruleset = self._rulesets[applying] = Ruleset(profiles, self.populations)
        return ruleset


class Detector:
    """Evaluates the reports of all things; not to be used by two threads at once.

    It remembers the things that reported within two days. What it knows of others is worth nothing: their alarms are
    invalid, and no window is that long. Where there are too many, new things are not admitted: to forget others would
    be worse, because in a fleet that reports in turn that is everybody before its next report.
    """

    def __init__(
        self, rules: Rules, new_id: Callable[[], str] = new_violation_id, most_things: int = MOST_THINGS
    ) -> None:
        self.rules = rules
        self.most_things = most_things
        self.refused = 0  # reports of things that were not admitted
        self._new_id = new_id
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
        """Evaluate an accepted report and return what it brought; None if the thing is new and not admitted."""
        return self.observe_values(thing, metric_values(report), now)

    def observe_values(self, thing: str, values: Mapping[str, Value], now: float) -> Finding | None:
        """Evaluate what a report holds, by the metrics' names in a profile; None if the thing is not admitted."""
        known = self._things.get(thing)
        if known is None and self.is_full:
            self.refused += 1
            return None
        ended: tuple[Event, ...] = ()
        if known is not None and is_silent(known.reported, now):  # whether or not somebody has looked meanwhile
            ended = self._invalidate(thing, known, now)
            known = None
        ruleset = self.rules.of(thing)
        memory, events, lasting = ruleset.observe(thing, known or forget(ruleset.names), values, now, self._new_id)
        self._things[thing] = memory
        self._things.move_to_end(thing)
        if known is None:
            self._watch_out(thing, ruleset, now)
        retained = {name: value for name, value in values.items() if name in ruleset.retained}
        packed = None if known is not None and memory.is_like(known) else memory.pack(ruleset.names)
        return Finding(thing, retained, (*ended, *events), lasting, packed)

    def find_silent(self, now: float, noticed: float | None = None) -> Iterator[Finding]:
        """Yield what comes of the silence of things, for behaviors that say how long one is normal.

        The time of an alarm is when the silence became too long, or when it was `noticed`.
        """
        for thing, due in self._watch.take(now):
            memory, ruleset = self._things.get(thing), self.rules.of(thing)
            if memory is None or not ruleset.silences:
                continue
            if memory.reported > due:  # it has reported since, or the clock was set back
                self._watch_out(thing, ruleset, min(memory.reported, now))
                continue
            looked = look(thing, memory, ruleset, due if noticed is None else noticed, self._new_id)
            self._watch.put(thing, looked.due)
            if looked.states != memory.states:
                self._things[thing] = memory = Memory(memory.histories, looked.states, memory.reported)
                yield Finding(thing, None, looked.events, looked.lasting, memory.pack(ruleset.names))
            elif looked.lasting:
                yield Finding(thing, None, (), looked.lasting)

    def excuse(self, seconds: float) -> None:
        """Let nobody be silent for a time in which nobody could be heard."""
        self._watch.put_off(seconds)

    def expire(self, now: float) -> Iterator[Finding]:
        """Forget the things that have not reported for two days, and yield the findings of those that were in alarm."""
        while self._things:
            thing, memory = next(iter(self._things.items()))
            if is_silent(memory.reported, now):
                del self._things[thing]
                if events := self._invalidate(thing, memory, now):
                    yield Finding(thing, None, events, state=NOTHING)
            elif memory.reported > now:  # the clock was set back: nobody is to wait behind this one until then
                self._things[thing] = Memory(memory.histories, memory.states, now)
                self._things.move_to_end(thing)
            else:
                return

    def restore(self, thing: str, packed: bytes | None, reported: float, now: float) -> None:
        """Go on with what was packed of a thing by an earlier run, or under other rules; the longest silent first.

        Nothing is remembered of a thing that has not reported for two days, nor of the first where there are too many.
        """
        if is_silent(reported, now):
            return
        self._things[thing] = self._unpack(thing, packed, reported)
        self._watch_out(thing, self.rules.of(thing), reported)
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
        before, self.rules = self.rules, rules
        rules.populations.update(before.populations)
        findings = []
        for thing, memory in list(self._things.items()):
            old, new = before.of(thing), rules.of(thing)
            if old.names != new.names:
                gone = [(rule, state) for rule, state in zip(old.rules, memory.states) if rule.name not in new.names]
                self._things[thing] = after = unpack(memory.pack(old.names), new.names, memory.reported)
                if events := _invalidate(thing, gone, now):
                    findings.append(Finding(thing, None, events, state=after.pack(new.names)))
        self._watch.clear()
        for thing, memory in self._things.items():
            self._watch_out(thing, rules.of(thing), min(memory.reported, now))
        return findings

    def _watch_out(self, thing: str, ruleset: Ruleset, reported: float) -> None:
        due = first_due(ruleset, reported)
        if due is not None:
            self._watch.put(thing, due)

    def _unpack(self, thing: str, packed: bytes | None, reported: float) -> Memory:
        names = self.rules.of(thing).names
        try:
            return unpack(packed or NOTHING, names, reported)
        except msgspec.DecodeError as error:
            log.error("what was kept of %s cannot be read (%s): its alarms start over", thing, error)
            return unpack(NOTHING, names, reported)

    def _invalidate(self, thing: str, memory: Memory, now: float) -> tuple[Event, ...]:
        return _invalidate(thing, zip(self.rules.of(thing).rules, memory.states), now) if memory.in_alarm else ()


def _invalidate(thing: str, alarms: Iterable[tuple[Rule, State]], now: float) -> tuple[Event, ...]:
    """Return the events of those alarms that are on."""
    events = (invalidate(state, Subject(thing, rule.profile, rule.behavior), now) for rule, state in alarms)
    return tuple(filter(None, events))

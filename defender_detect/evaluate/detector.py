"""The detector: Rules Detect for all things; it remembers each one's alarms, and forgets those that are long silent."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from defender_detect.evaluate.alarms import ALARM_INVALIDATED, NORMAL, Event, State, Subject, expire, new_violation_id
from defender_detect.evaluate.memory import Memory, forget, unpack
from defender_detect.evaluate.ruleset import Populations, Rule, Ruleset
from defender_detect.metrics import Value, metric_values
from defender_detect.profiles import Profile
from defender_detect.store.batch import Lasting
from device_defender.report import Report

MOST_THINGS = 100_000  # remembered; a broker without access control lets anyone make up names
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
    """Evaluates the reports of all things; not to be used by two threads at once."""

    def __init__(
        self, rules: Rules, new_id: Callable[[], str] = new_violation_id, most_things: int = MOST_THINGS
    ) -> None:
        self.rules = rules
        self._new_id = new_id
        self._most_things = most_things
        self._things: OrderedDict[str, Memory] = OrderedDict()  # the one that is silent for longest comes first

    def __len__(self) -> int:
        return len(self._things)

    def observe(self, thing: str, report: Report, now: float) -> list[Finding]:
        """Evaluate an accepted report (long names); return what it brought, and what became of a thing forgotten."""
        ruleset = self.rules.of(thing)
        values = metric_values(report)
        before = self._things.get(thing) or forget(ruleset.names)
        observation = ruleset.observe(thing, before, values, now, self._new_id)
        memory = observation.memory
        self._things[thing] = memory
        self._things.move_to_end(thing)
        retained = {name: value for name, value in values.items() if name in ruleset.retained}
        packed = None if memory is before else memory.pack(ruleset.names)
        finding = Finding(thing, retained, observation.events, observation.lasting, packed)
        return [finding, *self._forget_the_oldest(now)]

    def expire(self, now: float) -> Iterator[Finding]:
        """Yield what silence brought: an alarm of a thing that has not reported for two days is void."""
        for thing, memory in list(self._things.items()):
            if memory.states.count(NORMAL) < len(memory.states):  # few are; the rest has to take next to no time
                yield from self._expire_one(thing, memory, now)

    def restore(self, thing: str, packed: bytes | None) -> None:
        """Go on with what was packed of a thing by an earlier run, or under other rules; the longest silent first."""
        ruleset = self.rules.of(thing)
        try:
            self._things[thing] = unpack(packed, ruleset.names) if packed else forget(ruleset.names)
        except msgspec.DecodeError as error:
            log.error("what was kept of %s cannot be read (%s): its alarms begin anew", thing, error)
            self._things[thing] = forget(ruleset.names)
        if len(self._things) > self._most_things:  # those that were restored first are silent for longest
            self._things.popitem(last=False)

    def replace(self, rules: Rules, now: float) -> list[Finding]:
        """Go on with other rules; behaviors of the same name keep their alarms, those of the others are void."""
        before, self.rules = self.rules, rules
        rules.populations.update(before.populations)
        findings = []
        for thing, memory in list(self._things.items()):
            old, new = before.of(thing), rules.of(thing)
            packed = memory.pack(old.names)
            gone = [(rule, state) for rule, state in zip(old.rules, memory.states) if rule.name not in new.names]
            self._things[thing] = unpack(packed, new.names)
            events = _void(thing, gone, now)
            if events:
                findings.append(Finding(thing, None, events, state=self._things[thing].pack(new.names)))
        return findings

    def _expire_one(self, thing: str, memory: Memory, now: float) -> Iterator[Finding]:
        ruleset = self.rules.of(thing)
        steps = [
            expire(state, Subject(thing, rule.profile, rule.behavior), now)
            for rule, state in zip(ruleset.rules, memory.states)
        ]
        after = Memory(memory.histories, tuple(state for state, _ in steps))
        if after != memory:
            self._things[thing] = after
            events = [event for _, event in steps if event is not None]
            yield Finding(thing, None, events, state=after.pack(ruleset.names))

    def _forget_the_oldest(self, now: float) -> Iterator[Finding]:
        """Forget the thing that is silent for longest, where there are too many; an alarm of it is void."""
        while len(self._things) > self._most_things:
            thing, memory = self._things.popitem(last=False)
            events = _void(thing, list(zip(self.rules.of(thing).rules, memory.states)), now)
            yield Finding(thing, None, events, state=NOTHING)


def _void(thing: str, alarms: Sequence[tuple[Rule, State]], now: float) -> list[Event]:
    """Return the events of alarms that are on and that nobody will follow any more."""
    return [
        Subject(thing, rule.profile, rule.behavior).describe(ALARM_INVALIDATED, state, now, None)
        for rule, state in alarms
        if state.in_alarm
    ]

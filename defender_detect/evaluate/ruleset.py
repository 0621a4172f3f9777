"""The rules for one kind of thing: every behavior of the profiles that apply to it, compiled, in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Optional

import msgspec

from defender_detect.evaluate.alarms import NORMAL, Event, Lasting, State, Subject, step
from defender_detect.evaluate.behaviors import NO_HISTORY, Evaluation, History, compile_behavior
from defender_detect.evaluate.percentiles import Population
from defender_detect.metrics import SILENCE, Value
from defender_detect.profiles import Behavior, Profile

Name = str  # of a behavior: its profile's name, "/" and its own, which have no "/"
Populations = dict[Name, Population]
Turn = tuple[History, State, Optional[Event], Optional[Lasting]]  # of a report for one rule; a plain one, for speed

ENCODER = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(dict[str, tuple[bytes, State]])


class Memory(msgspec.Struct, frozen=True, gc=False):  # no work for the garbage collector: there are many of them
    """A thing's histories and alarms, each in the order of the behaviors for it, and when it reported last."""

    histories: tuple[History, ...]
    states: tuple[State, ...]
    reported: float = 0.0  # seconds since the epoch; not packed, because the store has it beside what is

    @property
    def in_alarm(self) -> bool:
        """Whether any alarm is on."""
        return any(state.in_alarm for state in self.states)

    def is_like(self, other: Memory) -> bool:
        """Whether the other one holds the same but for the time, so that what is packed is the same."""
        return self.histories == other.histories and self.states == other.states

    def pack(self, names: Sequence[Name]) -> bytes:
        """Return it by the behaviors' names, so that it outlives a change of the profiles, without what is normal."""
        remembered = zip(names, self.histories, self.states)
        return ENCODER.encode(
            {name: (history, state) for name, history, state in remembered if history or state != NORMAL}
        )


class Rule(NamedTuple):
    """One behavior of one profile."""

    name: Name
    profile: str
    behavior: Behavior
    metric: str
    evaluate: Evaluation
    population: Population | None  # of all things, for a statisticalThreshold
    silence: float | None = None  # seconds without a report that are not normal; None if it is not about silence


class Observation(NamedTuple):
    """What came of a report for one thing."""

    memory: Memory
    events: tuple[Event, ...]
    lasting: tuple[Lasting, ...]


class Ruleset:
    """The rules of some profiles, in the order of their names."""

    def __init__(self, profiles: Sequence[Profile], populations: Populations) -> None:
        self.rules = tuple(
            make_rule(profile, behavior, populations)
            for profile in sorted(profiles, key=lambda profile: profile.name)
            for behavior in profile.behaviors
        )
        self.profiles = frozenset(profile.name for profile in profiles)
        self.names = tuple(rule.name for rule in self.rules)
        self.silences = tuple(index for index, rule in enumerate(self.rules) if rule.silence is not None)
        self.retained = frozenset[str]().union(*(profile.metrics for profile in profiles))

    def observe(
        self, thing: str, memory: Memory, values: Mapping[str, Value], now: float, new_id: Callable[[], str]
    ) -> Observation:
        """Evaluate a thing's report against every rule."""
        turns = [
            observe_one(rule, history, state, thing, values.get(rule.metric), now, new_id)
            for rule, history, state in zip(self.rules, memory.histories, memory.states)
        ]
        if not turns:
            return Observation(Memory((), (), now), (), ())
        histories, states, events, lasting = zip(*turns)
        return Observation(Memory(histories, states, now), tuple(filter(None, events)), tuple(filter(None, lasting)))


def observe_one(
    rule: Rule, history: History, state: State, thing: str, value: Value | None, now: float, new_id: Callable[[], str]
) -> Turn:
    """Evaluate a thing's metric against one rule."""
    threshold = None if rule.population is None else rule.population.advance(now)
    history_after, datapoint, conforms = rule.evaluate(history, value, now, threshold)
    if rule.population is not None and isinstance(datapoint, (int, float)):
        rule.population.add(datapoint, now)
    if conforms is None or (conforms and state is NORMAL):
        return history_after, state, None, None
    after, event = step(state, Subject(thing, rule.profile, rule.behavior), conforms, now, datapoint, new_id)
    if event is not None and threshold is not None:
        event = replace(event, threshold=threshold)
    lasts = event is None and not conforms and state.in_alarm
    return history_after, after, event, Lasting(after.violation_id, datapoint) if lasts else None


def make_rule(profile: Profile, behavior: Behavior, populations: Populations) -> Rule:
    """Compile a behavior; those of one name share one population, whatever things they apply to."""
    name, criteria = f"{profile.name}/{behavior.name}", behavior.criteria
    population = None
    if criteria.statistic is not None:
        kept = populations.get(name)
        if kept is None or (kept.statistic, kept.duration) != (criteria.statistic, criteria.duration):
            populations[name] = Population(criteria.statistic, float(criteria.duration or 0))
        population = populations[name]
    evaluate = compile_behavior(behavior)
    return Rule(name, profile.name, behavior, behavior.metric, evaluate, population, longest_silence(behavior))


def longest_silence(behavior: Behavior) -> float | None:
    """Return after how many seconds without a report the first datapoint is not normal; None for other metrics."""
    limit = behavior.criteria.value
    if behavior.metric != SILENCE or not isinstance(limit, (int, float)):
        return None
    minutes = limit if behavior.criteria.operator == "less-than" else limit + 1  # they are whole
    return 60.0 * max(minutes, 1)


def forget(names: Sequence[Name]) -> Memory:
    """Return what is remembered of a thing that has not reported yet."""
    return Memory((NO_HISTORY,) * len(names), (NORMAL,) * len(names))


def unpack(packed: bytes, names: Sequence[Name], reported: float = 0.0) -> Memory:
    """Return what was packed, for the behaviors there are now; raise msgspec.DecodeError for anything else."""
    remembered = DECODER.decode(packed)
    entries = [remembered.get(name, (NO_HISTORY, NORMAL)) for name in names]
    states = tuple(NORMAL if state == NORMAL else state for _, state in entries)
    return Memory(tuple(History(history) for history, _ in entries), states, reported)

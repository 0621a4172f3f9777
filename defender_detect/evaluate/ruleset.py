"""The rules for one kind of thing: every behavior of the profiles that apply to it, compiled, in a fixed order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Optional, Union

import msgspec

from defender_detect.evaluate.alarms import NORMAL, Event, Lasting, PackedState, State, Subject, pack_state, step
from defender_detect.evaluate.behaviors import NO_HISTORY, Evaluation, History, compile_behavior
from defender_detect.evaluate.percentiles import Ranking
from defender_detect.metrics import SILENCE, Value
from defender_detect.profiles import Behavior, Profile

Name = str  # of a behavior: its profile's name, "/" and its own, which have no "/"
Thresholds = Mapping[Name, Optional[float]]  # the percentiles in force, of the behaviors that have a Ranking
# What is packed of a thing: histories, each with the state where that is not NORMAL; without either nothing.
Remembered = dict[Name, Union[bytes, tuple[bytes, PackedState]]]
Turn = tuple[str, Evaluation, Optional[Name], "Rule"]  # of a rule: what each report needs of it, for speed

ENCODER = msgspec.msgpack.Encoder()
DECODER = msgspec.msgpack.Decoder(Remembered)
NO_THRESHOLDS: Thresholds = {}


class Memory(msgspec.Struct, frozen=True, gc=False):  # no work for the garbage collector: there are many of them
    """A thing's histories and alarms, each in the order of the behaviors for it, and when it reported last."""

    histories: tuple[History, ...]
    states: tuple[State, ...]
    reported: float = 0.0  # seconds since the epoch; not packed here, as what follows: the store has it beside that
    report_id: int = 0  # of that report
    looked: float = 0.0  # when it was looked at for its silence since then; 0 if it was not

    @property
    def in_alarm(self) -> bool:
        """Whether any alarm is on."""
        return any([state.violation_id for state in self.states if state is not NORMAL])  # noqa: C419 - faster

    def is_like(self, other: Memory) -> bool:
        """Whether the other one holds the same but for the time, so that what is packed is the same."""
        return self.histories == other.histories and self.states == other.states

    def pack(self, names: Sequence[Name]) -> bytes:
        """Return it by the behaviors' names, so that it outlives a change of the profiles, without what is normal."""
        return ENCODER.encode(self.by_name(names))

    def by_name(self, names: Sequence[Name]) -> dict[Name, object]:
        """Return what is not normal of it, by the behaviors' names, to be packed and read as Remembered."""
        return {
            name: history if state is NORMAL else (history, pack_state(state))
            for name, history, state in zip(names, self.histories, self.states)
            if history or state is not NORMAL
        }


class Rule(NamedTuple):
    """One behavior of one profile."""

    name: Name
    profile: str
    behavior: Behavior
    metric: str
    evaluate: Evaluation
    ranking: Ranking | None  # for a statisticalThreshold
    silence: float | None = None  # seconds without a report that are not normal; None if it is not about silence


class Observation(NamedTuple):
    """What came of a report for one thing."""

    memory: Memory
    events: tuple[Event, ...]
    lasting: tuple[Lasting, ...]
    datapoints: tuple[tuple[Name, float], ...] = ()  # of behaviors with a Ranking, for the thresholds to come


class Ruleset:
    """The rules of some profiles, in the order of their names.

    They are in force `since` a time, and `retired` has every rule that was before, for alarms that it raised.
    """

    def __init__(
        self, profiles: Sequence[Profile], since: float = 0.0, retired: Mapping[Name, Rule] | None = None
    ) -> None:
        self.rules = tuple(
            make_rule(profile.name, behavior)
            for profile in sorted(profiles, key=lambda profile: profile.name)
            for behavior in profile.behaviors
        )
        self.since, self.retired = since, retired or {}
        self.profiles = frozenset(profile.name for profile in profiles)
        self.names = tuple(rule.name for rule in self.rules)
        self._known = frozenset(self.names)
        self.silences = tuple(index for index, rule in enumerate(self.rules) if rule.silence is not None)
        self.first_look = min((rule.silence for rule in self.rules if rule.silence is not None), default=None)
        self.ranked = tuple(rule.name for rule in self.rules if rule.ranking is not None)
        self._turns: tuple[Turn, ...] = tuple(
            (rule.metric, rule.evaluate, None if rule.ranking is None else rule.name, rule) for rule in self.rules
        )
        self.retained = frozenset[str]().union(*(profile.metrics for profile in profiles))

    def has_all(self, names: Collection[Name]) -> bool:
        """Whether it has the behaviors of all those names."""
        return self._known.issuperset(names)

    def observe(
        self,
        thing: str,
        memory: Memory,
        values: Mapping[str, Value],
        now: float,
        thresholds: Thresholds = NO_THRESHOLDS,
        report_id: int = 0,
    ) -> Observation:
        """Evaluate a thing's report against every rule."""
        histories: list[History] = []
        states: list[State] = []
        events: list[Event] = []
        lasting: list[Lasting] = []
        datapoints: list[tuple[Name, float]] = []
        for (metric, evaluate, ranked, rule), before, state in zip(self._turns, memory.histories, memory.states):
            threshold = None if ranked is None else thresholds.get(ranked)
            history, datapoint, conforms = evaluate(before, values.get(metric), now, threshold)
            histories.append(history)
            if ranked is not None and isinstance(datapoint, (int, float)):
                datapoints.append((ranked, datapoint))
            if conforms is None or (conforms and state is NORMAL):
                states.append(state)
                continue
            after, event = step(state, Subject(thing, rule.profile, rule.behavior), conforms, now, datapoint)
            states.append(after)
            if event is not None:
                events.append(event if threshold is None else replace(event, threshold=threshold))
            elif not conforms and state.in_alarm:
                lasting.append(Lasting(after.violation_id, datapoint))
        remembered = Memory(tuple(histories), tuple(states), now, report_id)
        return Observation(remembered, tuple(events), tuple(lasting), tuple(datapoints))


def make_rule(profile: str, behavior: Behavior) -> Rule:
    """Compile a behavior of the profile of that name."""
    name, ranking = f"{profile}/{behavior.name}", ranking_of(behavior)
    return Rule(
        name, profile, behavior, behavior.metric, compile_behavior(behavior), ranking, longest_silence(behavior)
    )


def ranking_of(behavior: Behavior) -> Ranking | None:
    """Return what a behavior with a statisticalThreshold is compared with; None for others."""
    criteria = behavior.criteria
    return None if criteria.statistic is None else Ranking(criteria.statistic, float(criteria.duration or 0))


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


def unpack(packed: bytes, names: Sequence[Name], reported: float = 0.0, report_id: int = 0) -> Memory:
    """Return what was packed, for the behaviors there are now; raise msgspec.DecodeError for anything else."""
    return recall(DECODER.decode(packed), names, reported, report_id)


def recall(
    remembered: Remembered, names: Sequence[Name], reported: float, report_id: int, looked: float = 0.0
) -> Memory:
    """Return a thing's memory of what is remembered of it, in the order of the behaviors there are now."""
    entries = [remembered.get(name, NO_HISTORY) for name in names]  # lists, as generators cost
    histories = tuple([each if isinstance(each, bytes) else each[0] for each in entries])
    states = tuple([NORMAL if isinstance(each, bytes) else each[1].unpack() for each in entries])
    return Memory(histories, states, reported, report_id, looked)  # type: ignore[arg-type]  # they are histories


def rearrange(memory: Memory, before: Sequence[Name], names: Sequence[Name]) -> Memory:
    """Return a thing's memory in the order of the behaviors there are now, without those that are gone."""
    places = {name: place for place, name in enumerate(before)}
    kept = [places.get(name) for name in names]
    histories = tuple(NO_HISTORY if place is None else memory.histories[place] for place in kept)
    states = tuple(NORMAL if place is None else memory.states[place] for place in kept)
    return Memory(histories, states, memory.reported, memory.report_id, memory.looked)

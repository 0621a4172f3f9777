"""A thing's page: its alarms in words, and alarms, lists and numbers over the same time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from defender_detect.console.axis import Axis
from defender_detect.console.charts import find_limit, is_number, make_charts
from defender_detect.console.drawing import find_interval
from defender_detect.console.sight import Glance, Sight
from defender_detect.console.strips import make_strip
from defender_detect.console.wording import Alarm, explain, say_normal
from defender_detect.evaluate.alarms import IN_ALARM, Event, Violation
from defender_detect.store.reader import Verification
from defender_detect.store.summaries import Choice

MOST_ALARMS = 50  # that are on, in words
MOST_EVENTS = 20  # in words

Key = tuple[str, str]  # a profile's and a behavior's name
Stretch = tuple[float, float]


class Lane(NamedTuple):
    """When the alarm of a behavior was on."""

    profile: str
    behavior: str
    normal: str
    is_on: bool
    stretches: tuple[Stretch, ...]  # from, and how wide, in percent


class Described(NamedTuple):
    """An alarm that is on, in words."""

    violation: Violation
    words: str
    normal: str
    verdict: Verification | None


def make_thing(sight: Sight, glance: Glance, name: str) -> dict[str, Any] | None:
    """Return what a thing's page shows, None if it never reported."""
    store, thing = sight.store, sight.store.thing(name)
    if thing is None:
        return None
    longest = glance.axis(None)
    values = store.all_values(name, longest.start, glance.end + 1)
    first = min((points[0][0] for points in values.values()), default=None)
    axis = glance.axis(first)
    events = store.newest_events(name, axis.start, glance.end + 1)
    active = store.alarms(Choice(thing=name), MOST_ALARMS)
    criteria = find_criteria(sight, name, events, active)
    on = find_stretches(events, active, axis)
    interval = find_interval([when for when, _ in max(values.values(), key=len, default=())])
    lists = {metric: points for metric, points in values.items() if isinstance(points[-1][1], tuple)}
    numbers = {metric: points for metric, points in values.items() if metric not in lists and is_number(points[-1][1])}
    limits = {m: [find_limit(each, m, interval) for each in found] for m, found in by_metric(criteria).items()}
    alarms = alarms_by_metric(on, criteria)
    return {
        "axis": axis,
        "thing": thing,
        "is_silent": thing.accepted_at is not None and glance.now - thing.accepted_at > sight.silent_after,
        "alarms": describe_alarms(sight, active),
        "more": thing.active_violations - len(active),
        "lanes": make_lanes(on, criteria, active, axis),
        "strips": [make_strip(m, points, axis, by_metric(criteria).get(m, ())) for m, points in sorted(lists.items())],
        "charts": make_charts(numbers, axis, limits, alarms),
        "events": [(each, explain(each)) for each in events[: -MOST_EVENTS - 1 : -1]],
    }


def describe_alarms(sight: Sight, active: Sequence[Violation]) -> list[Described]:
    """Return alarms that are on, in words, with what people found them to be."""
    found = sight.store.verifications(each.violation_id for each in active)
    return [
        Described(each, explain(each), say_normal(each.criteria, each.metric), found.get(each.violation_id))
        for each in active
    ]


def find_criteria(
    sight: Sight, thing: str, events: Iterable[Event], active: Iterable[Violation]
) -> dict[Key, tuple[str, Mapping[str, Any]]]:
    """Return metric and criteria of each behavior: those in force for the thing, and those of alarms that were."""
    found: dict[Key, tuple[str, Mapping[str, Any]]] = {}
    rules = sight.rules()
    for rule in rules.of(thing).rules if rules is not None else ():
        found[rule.profile, rule.behavior.name] = (rule.metric, rule.behavior.criteria.document)
    alarms: list[Alarm] = [*active, *events]
    for each in alarms:
        found.setdefault((each.profile, each.behavior), (each.metric, each.criteria))
    return found


def by_metric(criteria: Mapping[Key, tuple[str, Mapping[str, Any]]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the criteria of each metric."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for metric, each in criteria.values():
        found[metric].append(each)
    return found


def find_stretches(events: Sequence[Event], active: Iterable[Violation], axis: Axis) -> dict[Key, list[Stretch]]:
    """Return from when to when the alarms of each behavior were on, within the axis."""
    found: dict[Key, list[Stretch]] = defaultdict(list)
    begun: dict[Key, float] = {}
    for event in events:
        key = (event.profile, event.behavior)
        if event.type == IN_ALARM:
            begun[key] = event.time
        else:
            found[key].append((begun.pop(key, axis.start), event.time))
    for each in active:
        key = (each.profile, each.behavior)
        found[key].append((max(axis.start, begun.pop(key, each.started_at)), axis.end))
    return found


def make_lanes(
    on: Mapping[Key, Sequence[Stretch]],
    criteria: Mapping[Key, tuple[str, Mapping[str, Any]]],
    active: Iterable[Violation],
    axis: Axis,
) -> list[Lane]:
    """Return a lane for each behavior that alarmed, those that are on first."""
    are_on = {(each.profile, each.behavior) for each in active}
    lanes = []
    for key, stretches in on.items():
        metric, document = criteria[key]
        drawn = tuple(axis.stretch(*each) for each in stretches)
        lanes.append(Lane(*key, say_normal(document, metric), key in are_on, drawn))
    return sorted(lanes, key=lambda lane: (not lane.is_on, lane.profile, lane.behavior))


def alarms_by_metric(
    on: Mapping[Key, Sequence[Stretch]], criteria: Mapping[Key, tuple[str, Mapping[str, Any]]]
) -> dict[str, list[Stretch]]:
    """Return from when to when any alarm of a metric was on."""
    found: dict[str, list[Stretch]] = defaultdict(list)
    for key, stretches in on.items():
        found[criteria[key][0]] += stretches
    return found

"""The overview: how many alarms are on and at how many things, how that went, and what happened."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from defender_detect.console.axis import Axis
from defender_detect.console.charts import Chart, make_charts
from defender_detect.console.drawing import draw_steps
from defender_detect.console.sight import Glance, Sight
from defender_detect.console.wording import EVENTS, explain, say_normal
from defender_detect.evaluate.alarms import IN_ALARM
from defender_detect.store.reader import Thing
from defender_detect.store.summaries import Change, Choice, Happened

COLUMNS = 120  # of the curve of a behavior
QUARTER = 900.0  # seconds in which what is alike is one line of what happened
MOST_LINES = 15
MOST_CARDS = 6  # things that each have a card
MOST_ALARMS_ON_A_CARD = 5

Key = tuple[str, str]  # a profile's and a behavior's name


class Curve(NamedTuple):
    """How many things were in alarm by a behavior, over time."""

    profile: str
    behavior: str
    on: int
    most: int
    began: int
    normal: str
    path: str


class Line(NamedTuple):
    """What happened in a quarter of an hour."""

    time: float
    type: str
    word: str
    profile: str
    behavior: str
    things: int
    named: tuple[str, ...]


class Card(NamedTuple):
    """A thing with its alarms in words and its numbers."""

    thing: Thing
    is_silent: bool
    alarms: list[str]
    more: int
    charts: Sequence[Chart]


def make_overview(sight: Sight, glance: Glance) -> dict[str, Any]:
    """Return what the overview shows."""
    store = sight.store
    is_small = 0 < glance.counts.things <= MOST_CARDS
    axis, alarmed = glance.axis(store.first_report(is_exact=is_small)), store.alarmed()
    return {
        "axis": axis,
        "alarms": sum(alarmed.values()),
        "alarmed": len(alarmed),
        "longest": store.longest_silent() if glance.counts.silent else None,
        "curves": find_curves(sight, axis),
        "lines": [make_line(each) for each in store.happened(axis.start, glance.end + 1, QUARTER, MOST_LINES)],
        "cards": [make_card(sight, glance, axis, each) for each in store.things()] if is_small else [],
    }


def find_curves(sight: Sight, axis: Axis) -> list[Curve]:
    """Return the curve of each behavior with an alarm now or in this time, those with most alarms first."""
    on = {(each.profile, each.behavior): each for each in sight.store.on_now()}
    changes: dict[Key, list[Change]] = defaultdict(list)
    width = axis.length / COLUMNS
    for change in sight.store.changes(axis.start, axis.end + width, width):
        changes[change.profile, change.behavior].append(change)
    curves = []
    for key in {*on, *changes}:
        sample = on.get(key) or changes[key][0]
        levels = go_back(on[key].number if key in on else 0, changes[key])
        points = [(axis.start + place * width, float(level)) for place, level in levels]
        most = max(level for _, level in levels)
        path = draw_steps(points, axis, most * 1.1 or 1.0)
        began, normal = sum(each.began for each in changes[key]), say_normal(sample.criteria, sample.metric)
        curves.append(Curve(*key, on[key].number if key in on else 0, most, began, normal, path))
    return sorted(curves, key=lambda each: (-each.on, -each.began, each.profile, each.behavior))


def go_back(now: int, changes: Sequence[Change]) -> list[tuple[int, int]]:
    """Return how many alarms were on at the end of each stretch of time, found backwards from how many are on now."""
    ended, began = Counter[int](), Counter[int]()
    for each in changes:
        began[each.place] += each.began
        ended[each.place] += each.ended
    level, levels = now, []
    for place in sorted({*began, *ended}, reverse=True):
        levels.append((place, max(0, level)))
        level += ended[place] - began[place]
    return [(0, max(0, level)), *reversed(levels)]


def make_line(happened: Happened) -> Line:
    """Return a line of what happened."""
    named = dict.fromkeys((happened.first, happened.last))
    word = EVENTS.get(happened.type, happened.type)
    return Line(
        happened.time, happened.type, word, happened.profile, happened.behavior, happened.things, tuple(named)
    )  # fmt: skip


def make_card(sight: Sight, glance: Glance, axis: Axis, thing: Thing) -> Card:
    """Return the card of a thing, whose time is that of the page."""
    values = sight.store.all_values(thing.name, axis.start, axis.end + 1)
    numbers = {metric: points for metric, points in values.items() if not isinstance(points[-1][1], tuple)}
    alarms = sight.store.alarms(Choice(thing=thing.name), MOST_ALARMS_ON_A_CARD)
    is_silent = thing.accepted_at is not None and glance.now - thing.accepted_at > sight.silent_after
    more = thing.active_violations - len(alarms)
    return Card(thing, is_silent, [explain(each) for each in alarms], more, make_charts(numbers, axis, {}, {}))


def is_raised(line: Line) -> bool:
    """Whether alarms were raised."""
    return line.type == IN_ALARM

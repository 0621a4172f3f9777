"""A thing's page has the alarms, lists and numbers of one time, and says when each alarm was on."""

from __future__ import annotations

from pathlib import Path

import pytest

from defender_detect.console.axis import Axis
from defender_detect.console.thing import (
    MOST_ALARMS,
    MOST_EVENTS,
    alarms_by_metric,
    by_metric,
    find_criteria,
    find_stretches,
    make_lanes,
    make_thing,
)
from defender_detect.evaluate.alarms import Violation
from defender_detect.store.store import Store
from defender_detect.store.summaries import Summaries
from tests.detect.console.conftest import HOSTILE, NOW, Open, sight_of, text_of
from tests.detect.store.test_store import CRITERIA, event

AXIS = Axis(NOW - 1000, NOW)
KEY = ("cpu-usage", "cpu")


def violation(behavior: str = "cpu", started: float = NOW - 300) -> Violation:
    return Violation("v", "t", "cpu-usage", behavior, "cpu_usage", started, NOW, 99.0, dict(CRITERIA), "number", False)


def alarmed_thing(directory: Path) -> str:
    """A thing with an alarm that is on or was."""
    return next(iter(Summaries(directory).events(0, NOW + 1))).thing


def test_a_thing_shows_alarms_lists_and_numbers_over_one_time(fleet: Path, open_console: Open) -> None:
    name = alarmed_thing(fleet)
    page = open_console(fleet).get(f"/things/{name}?range=24h").text
    words = text_of(page)
    for each in ("Alarms", "Destinations", "Listening TCP ports", "Numbers", "bytes", "sent", "received", "cpu_usage"):
        assert each in words
    assert "normal: at most 75%" in words
    assert page.count('class="ticks"') == 2


def test_an_alarm_was_on_from_when_it_was_raised_until_it_was_cleared() -> None:
    events = [event(time=NOW - 800), event("alarm-cleared", time=NOW - 700), event(time=NOW - 300)]
    assert {KEY: [(NOW - 800, NOW - 700), (NOW - 300, NOW)]} == find_stretches(events, [violation()], AXIS)


def test_an_alarm_from_before_the_axis_is_on_from_its_beginning() -> None:
    cleared = [event("alarm-invalidated", time=NOW - 700)]
    assert {KEY: [(NOW - 1000, NOW - 700)]} == find_stretches(cleared, [], AXIS)
    assert {KEY: [(NOW - 1000, NOW)]} == find_stretches([], [violation(started=NOW - 9999)], AXIS)
    assert {} == find_stretches([], [], AXIS)


def test_lanes_that_are_on_stand_first(tmp_path: Path) -> None:
    on = {("p", "a"): [(NOW - 500, NOW - 250)], ("cpu-usage", "cpu"): [(NOW - 250, NOW)]}
    criteria = dict.fromkeys(on, ("cpu_usage", CRITERIA))
    lanes = make_lanes(on, criteria, [violation()], AXIS)
    assert [("cpu", True, ((75, 25),)), ("a", False, ((50, 25),))] == [
        (each.behavior, each.is_on, each.stretches) for each in lanes
    ]
    assert {"at most 75%"} == {each.normal for each in lanes}


def test_what_belongs_to_one_metric_is_put_together() -> None:
    criteria = {("p", "a"): ("m", {"a": 1}), ("p", "b"): ("m", {"b": 1}), ("p", "c"): ("n", {})}
    assert {"m": [{"a": 1}, {"b": 1}], "n": [{}]} == by_metric(criteria)
    on = {("p", "a"): [(1.0, 2.0)], ("p", "b"): [(3.0, 4.0)]}
    assert {"m": [(1.0, 2.0), (3.0, 4.0)]} == alarms_by_metric(on, criteria)


def test_criteria_in_force_win_over_those_of_an_alarm_that_was(fleet: Path) -> None:
    old = event(metric="listening_ports", criteria={"comparisonOperator": "in-port-set", "value": {"ports": [1]}})
    without = find_criteria(sight_of(fleet, rules=lambda: None), "t", [old], [])
    assert {KEY: ("listening_ports", old.criteria)} == without
    in_force = find_criteria(sight_of(fleet), "t", [old], [violation("gone")])
    assert ("cpu-usage", "gone") in in_force
    assert len(in_force) > 3
    named = next(key for key in in_force if key != ("cpu-usage", "gone") and key != KEY)
    again = event(profile=named[0], behavior=named[1], metric="other", criteria={})
    assert in_force[named] == find_criteria(sight_of(fleet), "t", [again], [])[named]


def test_a_thing_that_never_reported_has_no_page(fleet: Path) -> None:
    sight = sight_of(fleet)
    assert make_thing(sight, sight.look(), "nobody") is make_thing(sight, sight.look(), "") is None


@pytest.mark.parametrize("number", [1, MOST_ALARMS, MOST_ALARMS + 3])
def test_a_page_says_so_many_alarms_and_events_and_counts_the_others(tmp_path: Path, number: int) -> None:
    with Store(tmp_path, interval=3600, clock=lambda: NOW) as store:
        alarms = [event(thing=HOSTILE, time=NOW - 59 + each / 2, behavior=f"b{each}", violation_id=f"v{each}")
                  for each in range(number)]  # fmt: skip
        store.add(HOSTILE, NOW - 60, {"cpu_usage": 99, "nan": float("nan")}, alarms)
        store.flush()
    sight = sight_of(tmp_path, rules=lambda: None)
    shown = make_thing(sight, sight.look(), HOSTILE)
    assert shown is not None
    assert (min(number, MOST_ALARMS), max(0, number - MOST_ALARMS)) == (len(shown["alarms"]), shown["more"])
    assert min(number, MOST_EVENTS) == len(shown["events"])
    assert f"b{number - 1}" == shown["events"][0][0].behavior  # the newest
    assert ["cpu_usage"] == [each.title for each in shown["charts"]]
    assert (False, []) == (shown["is_silent"], shown["strips"])

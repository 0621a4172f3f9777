"""The overview counts what is on, says how that went, and a small fleet has a card for each thing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from defender_detect.console.axis import Axis
from defender_detect.console.overview import MOST_ALARMS_ON_A_CARD, find_curves, go_back, is_raised, make_overview
from defender_detect.store.store import Store
from defender_detect.store.summaries import Change, Summaries
from tests.detect.console.conftest import HOSTILE, NOW, Open, sight_of, text_of
from tests.detect.store.test_store import event


def test_a_curve_is_found_backwards_from_what_is_on_now() -> None:
    changes = [Change("p", "b", place, began, ended, "m", {}) for place, began, ended in ((10, 5, 0), (20, 1, 2))]
    assert [(0, 3), (10, 8), (20, 7)] == go_back(7, changes)
    assert [(0, 0), (10, 5), (20, 4)] == go_back(4, changes)


def test_the_overview_counts_alarms_things_and_the_silent_ones(fleet: Path, open_console: Open) -> None:
    words = text_of(open_console(fleet).get("/?range=24h").text)
    store = Summaries(fleet)
    alarms = list(store.active())
    assert f"{len(alarms)} alarm" in words
    assert f"at {len({each.thing for each in alarms})} of 20 things" in words
    assert re.search(r"\b20 things last report", words)
    assert re.search(r"\b1 silent", words)
    for behavior in {each.behavior for each in store.events(0, NOW + 1)}:
        assert behavior in words


def test_the_curve_of_a_behavior_ends_where_it_is_now(tmp_path: Path, open_console: Open) -> None:
    with Store(tmp_path, interval=3600, clock=lambda: NOW) as store:
        for number in range(10):
            began = event(thing=f"t{number}", time=NOW - 3000 + 100 * number, violation_id=f"v{number}")
            store.add(f"t{number}", NOW - 60, {"cpu_usage": 99}, [began])
        store.flush()
        ended = event("alarm-cleared", "t0", time=NOW - 100, violation_id="v0", value=5)
        store.add("t0", NOW - 100, {}, [ended])
        store.flush()
    page = open_console(tmp_path).get("/").text
    assert "9 alarms on" in text_of(page)
    assert 'aria-label="at most 10 at once"' in page


def test_what_is_alike_in_a_quarter_of_an_hour_is_one_line(tmp_path: Path, open_console: Open) -> None:
    quarter = NOW // 900 * 900 - 1800
    with Store(tmp_path, interval=3600, clock=lambda: NOW) as store:
        for number in range(62):
            store.add(f"t{number:02}", NOW - 60, {"n": 1}, [event(thing=f"t{number:02}", time=quarter + number)])
        store.flush()
    words = text_of(open_console(tmp_path).get("/").text)
    assert "62 things t00 , t61 , …" in words
    assert 1 == words.count("raised cpu")


def test_without_a_change_a_curve_is_level_and_never_below_zero() -> None:
    assert [(0, 5)] == go_back(5, [])
    ended = [Change("p", "b", 7, 0, 9, "m", {}), Change("p", "b", 7, 2, 0, "m", {})]
    assert [(0, 7), (7, 0)] == go_back(0, ended)
    assert [(0, 0), (7, 0)] == go_back(0, [Change("p", "b", 7, 9, 0, "m", {})])  # the store has lost what came before


def store_of(directory: Path, things: int, alarms: int = 0) -> None:
    """Keep things that reported, of which the first has so many alarms."""
    with Store(directory, interval=3600, clock=lambda: NOW) as store:
        for number in range(things):
            name = f"t{number}"
            its = [
                event(thing=name, time=NOW - 90, behavior=f"b{each}", violation_id=f"v{each}")
                for each in range(alarms if number == 0 else 0)
            ]
            store.add(name, NOW - 60, {"cpu_usage": 99, "ports": (22,)}, its)
        store.flush()


@pytest.mark.parametrize(("things", "cards"), [(0, 0), (1, 1), (6, 6), (7, 0)])
def test_each_thing_has_a_card_while_they_are_few(tmp_path: Path, things: int, cards: int) -> None:
    store_of(tmp_path, things)
    sight = sight_of(tmp_path)
    shown = make_overview(sight, sight.look())
    assert cards == len(shown["cards"])
    assert (0, 0, None, []) == (shown["alarms"], shown["alarmed"], shown["longest"], shown["curves"])


@pytest.mark.parametrize(("alarms", "more"), [(1, 0), (MOST_ALARMS_ON_A_CARD, 0), (MOST_ALARMS_ON_A_CARD + 2, 2)])
def test_a_card_says_some_alarms_and_counts_the_others(tmp_path: Path, alarms: int, more: int) -> None:
    store_of(tmp_path, 1, alarms)
    sight = sight_of(tmp_path)
    (card,) = make_overview(sight, sight.look())["cards"]
    assert (alarms - more, more) == (len(card.alarms), card.more)
    assert ["cpu_usage"] == [chart.title for chart in card.charts]  # a list has no chart


@pytest.mark.parametrize(("later", "is_silent"), [(839, False), (840, False), (841, True)])
def test_a_thing_is_silent_once_it_has_not_reported_for_longer_than_it_may(
    tmp_path: Path, later: float, is_silent: bool
) -> None:
    store_of(tmp_path, 1)
    sight = sight_of(tmp_path, clock=lambda: NOW + later)
    (card,) = make_overview(sight, sight.look())["cards"]
    assert is_silent == card.is_silent


def test_behaviors_with_most_alarms_on_stand_first_and_one_that_ended_is_there(tmp_path: Path) -> None:
    with Store(tmp_path, interval=3600, clock=lambda: NOW) as store:
        for name, behavior in (("t0", "few"), ("t1", "many"), ("t2", "many"), ("t3", "over")):
            store.add(name, NOW - 60, {"n": 1}, [event(thing=name, time=NOW - 600, behavior=behavior)])
        store.flush()
        store.add("t3", NOW - 50, {}, [event("alarm-cleared", "t3", time=NOW - 50, behavior="over")])
        store.flush()
    curves = find_curves(sight_of(tmp_path), Axis(NOW - 3600, NOW))
    assert [("many", 2, 2, 2), ("few", 1, 1, 1), ("over", 0, 1, 1)] == [
        (each.behavior, each.on, each.most, each.began) for each in curves
    ]
    assert {"at most 75%"} == {each.normal for each in curves}


def test_what_happened_to_one_thing_is_said_once_by_its_name(hostile: Path) -> None:
    sight = sight_of(hostile)
    (line,) = make_overview(sight, sight.look())["lines"]
    assert ((HOSTILE,), 1, "raised", True) == (line.named, line.things, line.word, is_raised(line))
    assert not is_raised(line._replace(type="alarm-cleared"))

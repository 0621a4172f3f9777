"""Things are found by name and state, the worst first, and a fleet is squares of which each has its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from defender_detect.console import things
from defender_detect.console.axis import Axis
from defender_detect.console.sight import Sight
from defender_detect.console.things import draw_small, draw_squares, find_things, name_at, pages_of
from defender_detect.store.store import Store
from defender_detect.store.summaries import Summaries
from tests.detect.console.conftest import NOW, Open, sight_of, text_of
from tests.detect.store.test_store import event


def test_squares_are_in_order_and_the_worst_of_those_that_share_one_is_seen() -> None:
    squares = draw_squares(["ok"] * 30 + ["alarm"] + ["silent"] * 19)
    assert (40, 2, 1, 50) == (squares.columns, squares.rows, squares.each, squares.number)
    assert "M30,0h1v1h-1z" == squares.paths["alarm"]
    assert "M31,0h9v1h-9zM0,1h10v1h-10z" == squares.paths["silent"]
    many = draw_squares(["ok"] * 59_999 + ["alarm"])
    assert (5, 12_000) == (many.each, many.number)
    assert 1 == many.paths["alarm"].count("M")


def test_things_are_found_by_name_and_state(fleet: Path, open_console: Open) -> None:
    console = open_console(fleet)
    words = text_of(console.get("/things?name=CAMERA").text)
    assert "5 of 20" in words
    assert "gateway-" not in words
    silent = text_of(console.get("/things?state=silent").text)
    assert "1 of 20" in silent
    assert "no thing is like that" in text_of(console.get("/things?name=nobody").text)


@pytest.mark.parametrize("wanted", ["", "PI", "nobody"])
@pytest.mark.parametrize("state", ["", "alarm", "silent", "ok"])
def test_many_things_are_listed_as_few_are(
    fleet: Path, wanted: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(things, "ROWS", 3)
    sight = Sight(Summaries(fleet), lambda: None)
    glance = sight.look()
    few, many = ([], [])
    for listed, find in ((few, things.find_things), (many, things.find_some)):
        last = things.pages_of(find(sight, glance, wanted, state, 1).number)
        for page in range(1, last + 1):
            found = find(sight, glance, wanted, state, page)
            assert (page, min(3, found.number - 3 * (page - 1))) == (found.page, len(found.rows))
            listed += [(found.number, +found.counts, row) for row in found.rows]
        assert last == find(sight, glance, wanted, state, last + 9).page
    assert few == many


def test_no_square_is_drawn_of_more_things_than_can_be_seen(
    fleet: Path, open_console: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = open_console(fleet)
    assert 'id="fleet"' in console.get("/things").text
    monkeypatch.setattr(things, "MOST_DRAWN", 19)
    assert 'id="fleet"' not in console.get("/things").text
    assert 404 == console.get("/at?place=7&name=").status_code


def test_a_square_is_told_by_its_place(fleet: Path, open_console: Open) -> None:
    console, names = open_console(fleet), sorted(each.name for each in Summaries(fleet).things())
    assert names[7] == console.get("/at?place=7&name=").text
    assert [name for name in names if "rpi" in name][2] == console.get("/at?place=2&name=RPI").text
    for place in ("20", "-1", "x", ""):
        assert 404 == console.get(f"/at?place={place}&name=").status_code


def test_a_list_has_a_page_also_when_it_is_empty() -> None:
    assert [1, 1, 1, 2, 2, 3] == [pages_of(number) for number in (0, 1, 50, 51, 100, 101)]


def test_those_with_most_alarms_stand_first_then_the_silent_then_by_name(tmp_path: Path) -> None:
    with Store(tmp_path, interval=3600, clock=lambda: NOW) as store:
        for name, age, alarms in (("b", 60, 0), ("a", 60, 0), ("one", 60, 1), ("two", 60, 2), ("quiet", 9999, 0)):
            its = [event(thing=name, behavior=f"b{each}", violation_id=f"{name}{each}") for each in range(alarms)]
            store.add(name, NOW - age, {"n": 1}, its)
        store.flush()
    sight = sight_of(tmp_path)
    found = find_things(sight, sight.look(), "", "", 1)
    assert ["two", "one", "quiet", "a", "b"] == [name for name, *_ in found.rows]
    assert {"alarm": 2, "silent": 1, "ok": 2} == found.counts
    assert ["one"] == [name for name, *_ in find_things(sight, sight.look(), "ONE", "alarm", 1).rows]
    assert (0, 1) == (find_things(sight, sight.look(), "", "no state", 9).number, found.page)


@pytest.mark.parametrize("number", [1, 40, 41, 400, 401])
def test_every_thing_is_drawn_once(number: int) -> None:
    squares = draw_squares(["ok"] * number)
    assert squares.columns * (squares.rows - 1) < number <= squares.columns * squares.rows
    assert (80 if number > 400 else 40) == squares.columns
    runs = squares.paths["ok"].split("M")[1:]
    assert number == sum(int(run.partition("h")[2].partition("v")[0]) for run in runs)
    assert "" == squares.paths["alarm"] == squares.paths["silent"]


def test_a_square_of_a_silent_thing_and_a_good_one_is_silent() -> None:
    squares = draw_squares(["ok", "silent"] * things.MOST_SQUARES)
    assert (2, "") == (squares.each, squares.paths["ok"])


def test_a_square_of_several_things_is_named_after_its_first(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(things, "MOST_SQUARES", 7)
    names = sorted(each.name for each in Summaries(fleet).things())
    found = [name_at(sight_of(fleet), "", place) for place in range(-1, 8)]
    assert [None, *names[::3], None] == found


def test_a_small_drawing_of_nothing_is_nothing() -> None:
    axis = Axis(NOW - 1000, NOW)
    assert ("", "") == draw_small([], axis)
    path, last = draw_small([(NOW - 500, 0), (NOW - 400, 2_000_000)], axis)
    assert ("M500,99.0h2L600,", "2 MB") == (path[:16], last)
    assert "M500,99.0h2" == draw_small([(NOW - 500, 0)], axis)[0]

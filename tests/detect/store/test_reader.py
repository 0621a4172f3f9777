"""An answer is read in pages that neither repeat nor leave out a row, and a wrong name is found by its neighbors."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from defender_detect.ask.queries import check_thing
from defender_detect.errors import NothingKept, StoreError
from defender_detect.store import reader as module
from defender_detect.store.reader import ACTIVE, EVENTS, THINGS, Reader
from defender_detect.store.store import Store
from tests.detect.store.test_store import NOW, event, store

NAMES = [f"rpi-{number:03}" for number in range(25)]
BEHAVIORS = ("a", "b")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Store]:
    """25 things with two alarms each, of which many began at the same time, in the order of chance."""
    names, chance = list(NAMES), random.Random(5)
    chance.shuffle(names)
    with store(tmp_path, interval=60) as made:
        for place, name in enumerate(names):
            alarms = [
                event(
                    thing=name,
                    time=NOW + place // 10,
                    behavior=each,
                    violation_id=f"{chance.random()}",
                    profile=profile,
                )
                for each, profile in zip(BEHAVIORS, ("p", "q"))
            ]
            made.add(name, NOW + place, {"n": 1}, alarms, report_id=place)
        made.flush()
        yield made


@pytest.fixture(params=[1, 2, 3, 24, 25, 50, 1000])
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(module, "PAGE", request.param)
    return int(request.param)


def test_pages_neither_repeat_nor_leave_out_a_row(kept: Store, page: int) -> None:
    assert NAMES == [each.name for each in kept.things()]
    assert NAMES[8:] == [each.name for each in kept.things(NAMES[7])]
    alarms = [(each.started_at, each.thing, each.behavior) for each in kept.active()]
    assert 50 == len(alarms) == len(set(alarms))
    assert sorted(alarms) == alarms
    events = [(each.time, each.thing, each.behavior) for each in kept.events(0, NOW * 2)]
    assert 50 == len(events) == len(set(events))
    assert sorted(each[0] for each in events) == [each[0] for each in events]
    assert set(alarms) == set(events)
    assert 20 == len(list(kept.events(NOW + 1, NOW + 2)))


def test_a_thing_and_a_profile_are_chosen_by_the_database(kept: Store, page: int) -> None:
    for chosen in (kept.active, lambda **options: kept.events(0, NOW * 2, **options)):
        assert [("rpi-007", "a"), ("rpi-007", "b")] == [(each.thing, each.behavior) for each in chosen(thing="rpi-007")]
        assert ["b"] * 25 == [each.behavior for each in chosen(profile="q")]
        assert [("rpi-007", "q")] == [(each.thing, each.profile) for each in chosen(thing="rpi-007", profile="q")]
        assert [] == list(chosen(thing="rpi-025"))


def test_whoever_wants_a_few_rows_reads_one_page(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 5)
    reads, ask = [], kept._ask
    monkeypatch.setattr(kept, "_ask", lambda: reads.append(1) or ask())
    questions: list[Any] = [kept.things, kept.active, lambda: kept.events(0, NOW * 2)]
    for question in questions:
        reads.clear()
        assert 5 == len(list(islice(question(), 5)))
        assert [1] == reads


@pytest.mark.parametrize(
    ("statement", "chosen"), [(THINGS, ""), (EVENTS, ""), (EVENTS, "AND thing = :thing"), (ACTIVE, "")]
)
def test_a_page_is_found_by_an_index_and_not_by_looking_at_every_row(kept: Store, statement: str, chosen: str) -> None:
    names = {f"key{place}": 0 for place in range(4)} | {"end": 0, "thing": "", "page": 1}
    connection = sqlite3.connect(kept.path)
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement.format(chosen=chosen)}", names).fetchall()
    connection.close()
    steps = [step for *_, step in plan]
    assert [] == [step for step in steps if step.startswith("SCAN")], steps
    assert [] == [step for step in steps if step == "USE TEMP B-TREE FOR ORDER BY"], steps


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        ("rpi-0070", "did you mean rpi-007?"),
        ("rp-007", "did you mean rpi-007?"),
        ("door", "the things are rpi-000, rpi-001, rpi-002, rpi-003, rpi-004 and 20 more"),
        ("", "the things are rpi-000, rpi-001, rpi-002, rpi-003, rpi-004 and 20 more"),
    ],
)
def test_a_wrong_name_is_said_with_those_that_are_like_it(kept: Store, thing: str, message: str) -> None:
    with pytest.raises(NothingKept) as raised:
        check_thing(kept, thing)
    assert f"nothing is kept of the thing {thing}: {message}" == str(raised.value)
    check_thing(kept, "rpi-007")


def test_of_a_million_names_only_the_neighbors_are_looked_at(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NEIGHBORS", 3)
    assert NAMES[7:13] == kept.neighbors("rpi-0099")
    assert NAMES[:6] == kept.neighbors("a")
    assert NAMES[-3:] == kept.neighbors("z")


def test_a_thing_that_never_reported_is_not_known(kept: Store) -> None:
    kept.add("only-silent", NOW, None, state=b"")
    kept.flush()
    assert not kept.knows("only-silent")
    assert "only-silent" not in [*kept.neighbors("o"), *(each.name for each in kept.things())]
    assert kept.knows("rpi-000")
    assert Reader(kept.path.parent).knows("rpi-000")


def test_a_damaged_database_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "detect.db").write_bytes(b"rubbish" * 1000)
    with pytest.raises(StoreError, match="detect.db cannot be read: .*; stop Detect, move the database away"):
        Reader(tmp_path).check()

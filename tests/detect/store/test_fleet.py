"""A fleet that several Detects share is counted as if one had all of it, and no thing twice."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from defender_detect.errors import StoreError
from defender_detect.store.batch import ACCEPTED, REJECTED
from defender_detect.store.fleet import Fleet, summaries_of
from defender_detect.store.store import Store
from defender_detect.store.summaries import Choice, Summaries
from device_defender.shards import shard_of
from tests.detect.store.test_store import NOW, event

SHARDS, THINGS, HOURS = 3, 40, 6
START, END, SILENT = NOW - HOURS * 3600.0, NOW + 1.0, NOW - 3 * 3600.0
SOME = [f"rpi-{number}" for number in range(0, THINGS, 7)]
CHOICES = [Choice(), Choice(thing="rpi-7"), Choice(behavior="b1"), Choice(profile="cpu", state="UNKNOWN")]


def fill(stores: Iterable[Store]) -> None:
    """Put a history by chance into all stores, each thing into that of its shard."""
    chance, shards = random.Random(7), list(stores)
    for number in range(THINGS):
        name = f"rpi-{number}"
        kept = shards[shard_of(name, len(shards))]
        last = NOW - chance.uniform(0, HOURS * 3600)
        alarm = {"behavior": f"b{number % 3}", "violation_id": f"v{number}"}
        for step in range(4):
            when = last - 600.0 * (3 - step)
            raised = [event(thing=name, time=when, **alarm)] if step == 1 and number % 2 else []
            cleared = [event("alarm-cleared", name, time=when, **alarm)] if step == 3 and number % 4 == 1 else []
            values = {"cpu_usage": number + step, "ports": (22, number)}
            kept.add(name, when, values, raised + cleared, report_id=4 * number + step)
        kept.count(ACCEPTED, 4.0)
        kept.count(REJECTED, 1.0, ("Throttled",))


def opened(directories: Iterable[Path]) -> list[Store]:
    return [Store(each, interval=3600, clock=lambda: NOW) for each in directories]


def closed(stores: Iterable[Store]) -> None:
    for each in stores:
        each.flush()
        each.close()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same history in `one`, and in `0`, `1` and `2`."""
    directory = tmp_path_factory.mktemp("fleet")
    for names in (["one"], map(str, range(SHARDS))):
        stores = opened(directory / name for name in names)
        fill(stores)
        closed(stores)
    return directory


@pytest.fixture
def one(directory: Path) -> Summaries:
    return Summaries(directory / "one")


@pytest.fixture
def several(directory: Path) -> Fleet:
    return Fleet([Summaries(directory / str(shard)) for shard in range(SHARDS)])


def test_the_fleet_is_counted_as_one(one: Summaries, several: Fleet) -> None:
    assert one.count(SILENT) == several.count(SILENT)
    assert one.longest_silent() == several.longest_silent()
    assert (one.first_report(), one.first_report(True)) == (several.first_report(), several.first_report(True))
    assert sorted(one.on_now(), key=str) == sorted(several.on_now(), key=str)
    assert one.alarmed() == several.alarmed()
    assert list(one.last_reports()) == list(several.last_reports())
    assert one.count_named("pi-1") == several.count_named("PI-1") == 11
    assert 2 * one.counts(ACCEPTED)[()] == several.counts(ACCEPTED)[()] + one.counts(ACCEPTED)[()]
    assert one.counts(REJECTED) == several.counts(REJECTED)


@pytest.mark.parametrize("width", [900.0, 3600.0])
def test_what_happened_is_summed_up_as_by_one(one: Summaries, several: Fleet, width: float) -> None:
    summed: dict[tuple[str, str, int], tuple[int, int]] = {}
    for each in several.changes(START, END, width):
        began, ended = summed.get((each.profile, each.behavior, each.place), (0, 0))
        summed[each.profile, each.behavior, each.place] = began + each.began, ended + each.ended
    changes = one.changes(START, END, width)
    assert {(each.profile, each.behavior, each.place): (each.began, each.ended) for each in changes} == summed
    for most in (3, 100):
        key = sorted(one.happened(START, END, width, most), key=lambda each: (-each.time, each.behavior))
        assert key == sorted(several.happened(START, END, width, most), key=lambda each: (-each.time, each.behavior))


@pytest.mark.parametrize(("most", "skip"), [(5, 0), (5, 5), (100, 0), (3, 1000)])
def test_pages_hold_the_same_and_in_the_same_order(one: Summaries, several: Fleet, most: int, skip: int) -> None:
    for part in ("", "pi-1"):
        assert one.count_quiet(part, SILENT) == several.count_quiet(part, SILENT)
        assert one.list_quiet(part, SILENT, most, skip) == several.list_quiet(part, SILENT, most, skip)
        assert one.list_well(part, SILENT, most, skip) == several.list_well(part, SILENT, most, skip)
    for choice in CHOICES:
        assert one.alarms(choice, most, skip) == several.alarms(choice, most, skip)
        assert one.past(choice, most, skip) == several.past(choice, most, skip)
        assert one.count_alarms(choice) == several.count_alarms(choice)


def test_a_thing_is_what_its_own_detect_knows(one: Summaries, several: Fleet) -> None:
    for name in ("rpi-7", "rpi-8", "nobody"):
        assert one.thing(name) == several.thing(name)
        assert one.all_values(name, START, END) == several.all_values(name, START, END)
        assert one.newest_events(name, START, END) == several.newest_events(name, START, END)
    assert one.values_of(SOME, "cpu_usage", START) == several.values_of(SOME, "cpu_usage", START)


def test_a_thing_that_moved_is_counted_where_it_reported_last(tmp_path: Path) -> None:
    stores = opened([tmp_path / "old", tmp_path / "new"])
    old, new = stores
    old.add("moved", NOW - 7200, {"n": 1}, [event(thing="moved", time=NOW - 7200)], report_id=1)
    new.add("moved", NOW, {"n": 2}, report_id=2)
    old.add("stayed", NOW - 3600, {"n": 1}, report_id=1)
    closed(stores)
    fleet = Fleet([Summaries(tmp_path / "old"), Summaries(tmp_path / "new")])
    assert (2, NOW, 1) == fleet.count(NOW - 60)
    assert ("stayed", NOW - 3600) == fleet.longest_silent()
    assert [("moved", 2, NOW), ("stayed", 1, NOW - 3600)] == list(fleet.last_reports())
    assert (1, [("stayed", NOW - 3600)]) == (fleet.count_quiet("", NOW - 60), fleet.list_quiet("", NOW - 60, 9, 0))
    assert [] == fleet.list_well("", NOW - 60, 9, 0), "its alarm is still on where it was"
    assert 1 == fleet.count_named("moved")
    moved = fleet.thing("moved")
    assert moved is not None
    assert (2, 1) == (moved.report_id, moved.active_violations)
    assert [(NOW - 7200, 1), (NOW, 2)] == fleet.all_values("moved", 0, NOW + 1)["n"]


def test_a_detect_that_has_not_run_yet_counts_once_it_has(tmp_path: Path) -> None:
    fleet = summaries_of([tmp_path / "0", tmp_path / "1"])
    with pytest.raises(StoreError) as caught:
        fleet.check()
    named = [f"nothing is kept in {tmp_path / name}:" for name in "01"]
    assert named == [line.partition(" amazon-")[0] for line in str(caught.value).splitlines()]
    for number in range(2):
        stores = opened([tmp_path / str(number)])
        stores[0].add(f"rpi-{number}", NOW, {"n": 1})
        closed(stores)
        fleet.check()
        assert (number + 1, number + 1) == (fleet.count(0).things, len(fleet.paths))


def test_a_single_directory_is_asked_itself(tmp_path: Path) -> None:
    assert isinstance(summaries_of([tmp_path]), Summaries)

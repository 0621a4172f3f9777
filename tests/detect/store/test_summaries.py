"""A fleet is counted and listed by the database, as whoever looks at it asks, and a part that is empty is no zero."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from defender_detect.store import summaries
from defender_detect.store.store import Store
from defender_detect.store.summaries import Change, Choice, Counts, OnNow, Summaries
from defender_detect.store.verdicts import put_verdict
from tests.detect.store.test_store import CRITERIA, NOW, event, store

HOUR = 3600.0


def alarm(thing: str, time: float = NOW, what: str = "in-alarm", behavior: str = "cpu") -> Any:
    return event(what, thing, time, behavior=behavior, violation_id=f"{thing}-{behavior}")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Store]:
    """Four things: two alarms at one, one that ended at another, and one that is silent for two hours."""
    with store(tmp_path, interval=HOUR) as made:
        made.add("cam-1", NOW - 2 * HOUR, {"n": 1, "ports": (22,)}, report_id=1)
        made.add("rpi-1", NOW - 60, {"n": 1}, [alarm("rpi-1", NOW - 600), alarm("rpi-1", NOW - 60, behavior="ports")])
        made.add("rpi-2", NOW - 30, {"n": 7, "other": 1.5}, [alarm("rpi-2", NOW - 900)], report_id=3)
        made.flush()
        made.add("rpi-2", NOW - 20, {"n": 8}, [alarm("rpi-2", NOW - 20, "alarm-cleared")], report_id=4)
        made.add("Rpi-3", NOW, {"n": 9}, report_id=5)
        made.add("never", NOW, None, state=b"")  # silent, and no report
        made.flush()
        yield made


@pytest.fixture
def found(kept: Store) -> Summaries:
    return Summaries(kept.path.parent)


def test_an_empty_store_has_nothing_and_says_so(tmp_path: Path) -> None:
    store(tmp_path).close()
    empty = Summaries(tmp_path)
    assert Counts(0, None, 0) == empty.count(NOW)
    assert (None, None, None, None) == (
        empty.longest_silent(), empty.last_report(), empty.first_report(), empty.first_report(is_exact=True),
    )  # fmt: skip
    assert ([], {}, [], {}) == (empty.on_now(), empty.alarmed(), [*empty.last_reports()], empty.all_values("t", 0, NOW))
    assert ({"t": []}, 0, [], None) == (
        empty.values_of(["t"], "n", 0), empty.count_alarms(Choice()), empty.past(Choice(), 9), empty.thing("t"),
    )  # fmt: skip


def test_things_are_counted_with_those_that_are_silent_since_a_time(found: Summaries) -> None:
    assert [Counts(4, NOW, number) for number in (0, 1, 1, 4)] == [
        found.count(silent) for silent in (NOW - 2 * HOUR, NOW - 2 * HOUR + 1, NOW - 60, NOW + 1)
    ]


def test_the_longest_silent_and_the_newest_report_are_named(found: Summaries) -> None:
    assert ("cam-1", NOW - 2 * HOUR) == found.longest_silent()
    assert ("rpi-1", NOW - 60) == found.longest_silent(without=["cam-1", "nobody"])
    assert ("Rpi-3", 5, NOW) == found.last_report()
    assert ["cam-1", "rpi-1"] == found.silent(NOW - 3 * HOUR, NOW - 20)
    assert [] == found.silent(NOW - 2 * HOUR, NOW - 60)  # neither end


def test_the_first_report_is_known_to_the_hour_or_exactly(found: Summaries) -> None:
    assert (NOW - 2 * HOUR) // HOUR * HOUR == found.first_report()
    assert NOW - 2 * HOUR == found.first_report(is_exact=True)


def test_alarms_that_are_on_are_counted_by_behavior_and_by_thing(found: Summaries) -> None:
    on = [OnNow("cpu-usage", each, 1, "cpu_usage", CRITERIA) for each in ("cpu", "ports")]
    assert (on, {"rpi-1": 2}) == (found.on_now(), found.alarmed())


def test_what_began_and_ended_is_counted_by_stretches_of_time(found: Summaries) -> None:
    changes = found.changes(NOW - 1000, NOW, 500)
    assert [("cpu", 0, 2, 0), ("cpu", 1, 0, 1), ("ports", 1, 1, 0)] == [
        (each.behavior, each.place, each.began, each.ended) for each in changes
    ]
    assert isinstance(changes[0], Change)
    assert [] == found.changes(NOW, NOW + 99, 1)
    assert 1 == len(found.changes(NOW - 900, NOW - 899, 1))  # its beginning is in it, and its end is not


def test_what_is_alike_is_one_line_and_the_newest_stands_first(kept: Store, found: Summaries) -> None:
    quarter = NOW // 900 * 900
    for number, name in enumerate(("a", "b", "c")):
        kept.add(name, quarter + number, {}, [alarm(name, quarter + number, behavior="same")])
    kept.flush()
    (line,) = (each for each in found.happened(0, NOW + 900, 900, 99) if each.behavior == "same")
    assert (quarter + 2, 3, "a", "c", "in-alarm") == (line.time, line.things, line.first, line.last, line.type)
    times = [each.time for each in found.happened(0, NOW + 900, 900, 99)]
    assert sorted(times, reverse=True) == times
    assert times[:2] == [each.time for each in found.happened(0, NOW + 900, 900, 2)]


@pytest.mark.parametrize(
    ("part", "named", "quiet", "well"),
    [
        ("", None, ["cam-1"], ["Rpi-3", "rpi-2"]),
        ("RPI", 3, [], ["Rpi-3", "rpi-2"]),
        ("cam", 1, ["cam-1"], []),
        ("%", 0, [], []),
        ("_", 0, [], []),
        ("'", 0, [], []),
    ],
)
def test_things_are_found_by_a_part_of_their_names(
    found: Summaries, part: str, named: int | None, quiet: list[str], well: list[str]
) -> None:
    since = NOW - HOUR
    assert named in (None, found.count_named(part))
    assert len(quiet) == found.count_quiet(part, since)
    assert quiet == [name for name, _ in found.list_quiet(part, since, 9, 0)]
    assert well == [name for name, _ in found.list_well(part, since, 9, 0)]
    assert well[1:2] == [name for name, _ in found.list_well(part, since, 1, 1)]
    assert [] == found.list_well(part, since, 9, 0, without=["Rpi-3", "rpi-2"])


def test_a_thing_is_known_once_it_has_reported(found: Summaries) -> None:
    assert ("rpi-1", NOW - 60, 2) == (
        (thing := found.thing("rpi-1")) and (thing.name, thing.accepted_at, thing.active_violations)
    )
    assert None is found.thing("never") is found.thing("RPI-1")
    assert ["Rpi-3", "cam-1", "rpi-1", "rpi-2"] == [name for name, *_ in found.last_reports()]


def test_all_values_of_a_thing_are_read_at_once_from_a_time_until_before_another(found: Summaries) -> None:
    assert {"n": [(NOW - 30, 7), (NOW - 20, 8)], "other": [(NOW - 30, 1.5)]} == found.all_values("rpi-2", NOW - 30, NOW)
    assert {"n": [(NOW - 30, 7)], "other": [(NOW - 30, 1.5)]} == found.all_values("rpi-2", 0, NOW - 20)
    assert [(22,)] == [value for _, value in found.all_values("cam-1", 0, NOW)["ports"]]


def test_one_metric_of_several_things_is_read_since_a_time(found: Summaries) -> None:
    values = found.values_of(["rpi-2", "cam-1", "nobody"], "n", NOW - 25)
    assert {"rpi-2": [(NOW - 20, 8)], "cam-1": [], "nobody": []} == values
    assert {"cam-1": [(NOW - 2 * HOUR, 1)]} == found.values_of(["cam-1"], "n", NOW - 2 * HOUR)
    assert {"rpi-2": []} == found.values_of(["rpi-2"], "unheard-of", NOW - HOUR)
    assert {} == found.values_of([], "n", NOW - HOUR)


@pytest.mark.parametrize(
    ("choice", "behaviors"),
    [
        (Choice(), ["ports", "cpu"]),
        (Choice(thing="rpi-1", behavior="cpu"), ["cpu"]),
        (Choice(profile="cpu-usage", state="UNKNOWN"), ["ports", "cpu"]),
        (Choice(thing="' OR 1 --"), []),
        (Choice(state="' OR 1 --"), []),
        (Choice(thing=""), []),
    ],
)
def test_alarms_are_chosen_counted_and_the_newest_first(found: Summaries, choice: Choice, behaviors: list[str]) -> None:
    assert behaviors == [each.behavior for each in found.alarms(choice, 9)]
    assert behaviors[1:2] == [each.behavior for each in found.alarms(choice, 1, skip=1)]
    assert len(behaviors) == found.count_alarms(choice)


def test_what_happened_is_chosen_in_the_same_way_and_a_verdict_counts(kept: Store, found: Summaries) -> None:
    assert ["alarm-cleared", "in-alarm"] == [each.type for each in found.past(Choice(thing="rpi-2"), 9)]
    put_verdict(kept.path.parent, "rpi-2-cpu", "BENIGN_POSITIVE", "backup", NOW)
    assert 2 == len(found.past(Choice(state="BENIGN_POSITIVE"), 9))
    assert 2 == len(found.past(Choice(state="UNKNOWN"), 9))
    verdict = found.verdict("rpi-2-cpu")
    assert (None, "backup") == (found.verdict("nothing"), verdict and verdict.description)


def test_a_thing_that_flutters_shows_its_newest_events_the_oldest_first(
    found: Summaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    def types(start: float, end: float) -> list[str]:
        return [each.type for each in found.newest_events("rpi-2", start, end)]

    assert ["in-alarm", "alarm-cleared"] == types(0, NOW)
    assert ["in-alarm"] == types(NOW - 900, NOW - 20)
    monkeypatch.setattr(summaries, "MOST_EVENTS_OF_A_THING", 1)
    assert ["alarm-cleared"] == types(0, NOW)


def test_a_databases_size_is_with_its_log(found: Summaries) -> None:
    log = found.path.with_name("detect.db-wal")
    assert found.size() == found.path.stat().st_size + (log.stat().st_size if log.exists() else 0) > 0
    assert [found.path] == found.paths

"""A page begins behind the last row of the one before, of those that were asked for, whatever is written meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from defender_detect.store.pages import Filter, PageReader
from defender_detect.store.store import Store
from defender_detect.store.verdicts import put_verdict
from tests.detect.store.test_store import CRITERIA, NOW, event, store

KINDS: tuple[dict[str, Any], ...] = (
    CRITERIA,
    {"comparisonOperator": "less-than", "statisticalThreshold": {"statistic": "p90"}},
    {"mlDetectionConfig": {"confidenceLevel": "HIGH"}},
)
EVERYTHING = Filter()


def add(kept: Store, name: str, time: float, **changes: Any) -> None:
    """Let an alarm of a thing begin."""
    kept.add(name, time, {}, [event(thing=name, time=time, violation_id=f"id-{name}", **changes)])
    kept.flush()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Store]:
    """Nine things, three at a time, with alarms by three kinds of criteria, of which every second is suppressed."""
    with store(tmp_path) as made:
        for number in range(9):
            add(
                made, f"t{8 - number}", NOW + number // 3, criteria=KINDS[number % 3], suppressed=number % 2 == 1,
                profile=f"p{number % 2}",
            )  # fmt: skip
        yield made


@pytest.fixture
def reader(kept: Store) -> PageReader:
    return PageReader(kept.path.parent)


def names_of(found: list[Any]) -> list[str]:
    return [each.thing for each in found]


def active(reader: PageReader, chosen: Filter = EVERYTHING, most: int = 99) -> list[str]:
    return names_of(reader.active_page(chosen, None, most))


def test_alarms_are_the_oldest_first_and_by_their_ids_at_one_time(reader: PageReader) -> None:
    assert ["t6", "t7", "t8", "t3", "t4", "t5", "t0", "t1", "t2"] == active(reader)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9, 10])
def test_pages_of_alarms_neither_repeat_nor_leave_out_one(reader: PageReader, size: int) -> None:
    found: list[str] = []
    key: tuple[Any, ...] | None = None
    while page := reader.active_page(EVERYTHING, key, size):
        assert len(page) <= size < 99 - len(found)
        found += names_of(page)
        key = (page[-1].started_at, page[-1].violation_id)
    assert active(reader) == found


def test_what_begins_or_ends_meanwhile_moves_no_other_row(reader: PageReader, kept: Store) -> None:
    first = reader.active_page(EVERYTHING, None, 4)
    assert ["t6", "t7", "t8", "t3"] == names_of(first)
    kept.add("t3", NOW + 9, {}, [event("alarm-cleared", "t3", NOW + 9, violation_id="id-t3", profile="p1")])
    add(kept, "new", NOW + 9)
    rest = reader.active_page(EVERYTHING, (first[-1].started_at, first[-1].violation_id), 99)
    assert ["t4", "t5", "t0", "t1", "t2", "new"] == names_of(rest)


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_pages_of_events_are_the_newest_first(reader: PageReader, kept: Store, size: int) -> None:
    found: list[str] = []
    key: tuple[Any, ...] | None = None
    while page := reader.events_page(EVERYTHING, (0, NOW + 99), key, size):
        assert len(found) < 99
        found += [each.thing for _, each in page]
        key = (page[-1][1].time, page[-1][0])
        add(kept, f"new-{len(found)}", NOW + 50)  # which comes before all of these
    assert ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8"] == found


@pytest.mark.parametrize(
    ("start", "end", "number"),
    [(NOW, NOW + 2, 9), (NOW, NOW, 3), (NOW + 1, NOW + 1.5, 3), (NOW + 0.1, NOW + 0.9, 0), (NOW + 2, NOW, 0)],
)
def test_a_time_has_both_its_ends(reader: PageReader, start: float, end: float, number: int) -> None:
    assert number == len(reader.events_page(EVERYTHING, (start, end), None, 99))


def test_a_key_beyond_the_time_shows_no_more_than_the_time(reader: PageReader) -> None:
    period = (NOW, NOW)
    assert reader.events_page(EVERYTHING, period, None, 99) == reader.events_page(
        EVERYTHING, period, (NOW + 9, 2**60), 99
    )


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (Filter(thing="t4"), ["t4"]),
        (Filter(thing="T4"), []),
        (Filter(thing="' OR 1 --"), []),
        (Filter(profile="p1"), ["t7", "t3", "t5", "t1"]),
        (Filter(kind_of_criteria="STATIC"), ["t8", "t5", "t2"]),
        (Filter(kind_of_criteria="STATISTICAL"), ["t7", "t4", "t1"]),
        (Filter(kind_of_criteria="MACHINE_LEARNING"), ["t6", "t3", "t0"]),
        (Filter(is_suppressed=True), ["t7", "t3", "t5", "t1"]),
        (Filter(is_suppressed=False, kind_of_criteria="STATISTICAL"), ["t4"]),
        (Filter(state="UNKNOWN", profile="p1"), ["t7", "t3", "t5", "t1"]),
        (Filter(state="TRUE_POSITIVE"), []),
        (Filter("t4", "p0", "STATISTICAL", False, "UNKNOWN"), ["t4"]),
    ],
)
def test_a_filter_chooses_alarms_and_events_alike(reader: PageReader, chosen: Filter, names: list[str]) -> None:
    assert names == active(reader, chosen)
    assert set(names) == {each.thing for _, each in reader.events_page(chosen, (0, NOW + 99), None, 99)}


def test_what_somebody_found_is_chosen_by(reader: PageReader, kept: Store) -> None:
    put_verdict(kept.path.parent, "id-t4", "FALSE_POSITIVE", "", NOW)
    assert ["t4"] == active(reader, Filter(state="FALSE_POSITIVE"))
    assert 8 == len(active(reader, Filter(state="UNKNOWN")))
    ((_, found),) = reader.events_page(Filter(state="FALSE_POSITIVE"), (0, NOW + 99), None, 99)
    assert "t4" == found.thing


def test_an_event_is_as_it_was(reader: PageReader) -> None:
    ((_, found),) = reader.events_page(Filter(thing="t8"), (0, NOW + 99), None, 99)
    assert event(thing="t8", violation_id="id-t8", profile="p0") == found

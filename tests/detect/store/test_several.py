"""What several Detects keep is read as one: merged, in one order, page by page, and no thing twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from defender_detect.store import reader
from defender_detect.store.reader import Reader, Thing
from defender_detect.store.several import Readers
from defender_detect.store.store import Store
from defender_detect.store.verdicts import put_verdict
from tests.detect.store.test_store import NOW, event

Fill = Callable[[int, Store], None]


def readers(tmp_path: Path, *fillings: Fill) -> Readers:
    for number, fill in enumerate(fillings):
        with Store(tmp_path / str(number), clock=lambda: NOW) as kept:
            fill(number, kept)
            kept.flush()
    return Readers([Reader(tmp_path / str(number)) for number in range(len(fillings))])


def three_of_each(number: int, kept: Store) -> None:
    """Things 0, 3, 6 in the first directory, 1, 4, 7 in the second: an alarm of each, one minute after the other."""
    for index in range(number, 9, 3):
        name, when = f"rpi-{index}", NOW + 60 * index
        kept.add(name, when, {"cpu_usage": index}, [event(thing=name, time=when)], report_id=index)


@pytest.mark.parametrize("page", [1, 2, 1_000])
def test_things_events_and_alarms_come_in_one_order_whatever_a_page_holds(
    tmp_path: Path, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PAGE", page)
    several, names = readers(tmp_path, three_of_each, three_of_each, three_of_each), [f"rpi-{n}" for n in range(9)]
    assert names == [each.name for each in several.things()]
    assert names[4:] == [each.name for each in several.things(after="rpi-3")]
    assert names == [each.thing for each in several.events(0, NOW * 2)]
    assert names[:3] == [each.thing for each in several.events(0, NOW + 180)]
    assert names == [each.thing for each in several.active()]
    assert ["rpi-4"] == [each.thing for each in several.active("rpi-4")] == [each.thing for each in
                         several.events(0, NOW * 2, "rpi-4")]  # fmt: skip
    assert sorted(names) == sorted(thing for _, thing, _ in several.observed(0, NOW * 2))


def test_a_thing_that_moved_is_one_with_its_last_report_its_values_and_the_alarms_of_both(tmp_path: Path) -> None:
    def before(_: int, kept: Store) -> None:
        kept.add("rpi-1", NOW, {"cpu_usage": 1, "old": 1}, [event()], report_id=7)

    def after(_: int, kept: Store) -> None:
        kept.add("rpi-1", NOW + 300, {"cpu_usage": 2}, report_id=8)

    several = readers(tmp_path, after, before)
    assert [Thing("rpi-1", 8, NOW + 300, 1)] == list(several.things())
    assert [(NOW, 1), (NOW + 300, 2)] == several.values("rpi-1", "cpu_usage", 0, NOW * 2)
    assert (["cpu_usage", "old"], True, False) == (several.metrics("rpi-1"), several.knows("rpi-1"), several.knows("x"))
    assert ["rpi-1"] == several.neighbors("rpi-2")


def test_the_later_of_two_verdicts_counts(tmp_path: Path) -> None:
    def alarm(_: int, kept: Store) -> None:
        kept.add("rpi-1", NOW, {"cpu_usage": 1}, [event()], report_id=7)

    several = readers(tmp_path, alarm, alarm)
    put_verdict(tmp_path / "0", "id-rpi-1", "TRUE_POSITIVE", "", NOW + 2)
    put_verdict(tmp_path / "1", "id-rpi-1", "BENIGN_POSITIVE", "", NOW + 1)
    assert "TRUE_POSITIVE" == several.verifications(["id-rpi-1"])["id-rpi-1"].state

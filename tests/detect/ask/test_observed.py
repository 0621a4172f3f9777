"""What was observed can be read again and again, a thing's reports in their order, and of some things only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from defender_detect.ask.observed import Kept, Observed, Replayed
from defender_detect.store import reader as reader_module
from defender_detect.store.reader import Reader
from defender_detect.store.store import Store
from tests.detect.ask.test_replay import TIME, recorded, recording_of


@pytest.mark.parametrize("page", [1, 3, 1_000])
def test_what_is_kept_is_read_by_thing_in_its_order_page_by_page(
    page: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "PAGE", page)
    times = [TIME + 1000.0 * number for number in range(10)]
    with Store(tmp_path, clock=lambda: TIME + 10_000.0) as kept:
        for time in times:
            for thing in ("b", "a"):
                kept.add(thing, time, {"cpu_usage": time, "ports": (22,)})
        kept.flush()
    reader = Reader(tmp_path)
    for _ in range(2):
        observed = list(Kept(reader, times[2], times[8]))
        assert 12 == len(observed)
        for thing in ("a", "b"):
            assert times[2:8] == [each.time for each in observed if each.thing == thing]
    assert [("a", {"cpu_usage": times[0], "ports": (22,)})] == [
        (each.thing, each.values) for each in Kept(reader, 0, times[1], {"a"})
    ]


def test_a_recording_is_read_in_the_order_of_its_times() -> None:
    entries = [recorded(cpu, thingName=thing, timestamp=TIME + at) for cpu, thing, at in ((3, "b", 9), (2, "a", 5))]
    recording = recording_of(*map(json.dumps, entries))
    assert [] == list(recording.read())
    both = [Observed(TIME + 5.0, "a", {"cpu_usage": 2}), Observed(TIME + 9.0, "b", {"cpu_usage": 3})]
    assert both == list(Replayed(recording)) == list(Replayed(recording))
    assert both[1:] == list(Replayed(recording, {"b"}))

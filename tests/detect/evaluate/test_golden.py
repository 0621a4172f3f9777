"""One process, the replay and an engine find the same events in the same reports, and every release does.

The list itself is pinned by digests. If a change of the rules is meant to change it, `python -m
tests.detect.evaluate.test_golden` writes them again; the diff shows how many events there are of each type.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.detect.evaluate.golden import Fleet, by_detector, by_kernel, by_replay, digest, in_order

PINNED = Path(__file__).with_name("golden.json")
SIZES = {"a part": (40, 36), "whole": (250, 50)}  # things, and rounds of their reports


def pinned(size: str) -> Any:
    return json.loads(PINNED.read_text())[size]


@pytest.mark.parametrize("size", ["a part", pytest.param("whole", marks=pytest.mark.slow)])
def test_one_process_the_replay_and_the_kernel_give_the_same_events_as_ever(size: str, tmp_path: Path) -> None:
    fleet = Fleet(*SIZES[size])
    by_one = in_order(by_detector(fleet))
    assert by_one == in_order(by_replay(fleet, tmp_path))
    assert by_one == in_order(by_kernel(fleet))
    assert pinned(size) == digest(by_one)


@pytest.mark.parametrize("late", [45.0, 7_000.0])
def test_timers_that_fire_late_change_no_event(late: float) -> None:
    fleet = Fleet(20, 30)
    assert in_order(by_kernel(fleet)) == in_order(by_kernel(fleet, late))


def test_the_whole_list_has_at_least_9000_events_of_every_type() -> None:
    kinds = {"in-alarm", "alarm-cleared", "alarm-invalidated"}
    assert 9_000 <= pinned("whole")["events"]
    assert kinds == set(pinned("whole")["types"]) == set(pinned("a part")["types"])


def write() -> None:
    """Write the digests again, of what all three agree on."""
    found = {}
    for size, (things, rounds) in SIZES.items():
        fleet = Fleet(things, rounds)
        events = in_order(by_detector(fleet))
        with tempfile.TemporaryDirectory() as directory:
            assert events == in_order(by_replay(fleet, Path(directory))) == in_order(by_kernel(fleet))
        found[size] = digest(events)
    PINNED.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    write()

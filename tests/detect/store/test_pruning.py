"""What is old leaves the store, and so do the oldest values where they do not fit; alarms that are on stay."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from defender_detect.store.pruning import Limits, count_bytes
from defender_detect.store.reader import Reader
from defender_detect.store.store import DAY, Store
from tests.detect.store.test_store import NOW, event, store

PATIENCE = 60.0  # seconds
HOUR = 3600.0
STEP = 300.0
MEGABYTE = 1_000_000


def wait_until(is_done: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not is_done():
        assert time.monotonic() < end
        time.sleep(0.02)


def names(reader: Reader) -> list[str]:
    return [each.name for each in reader.things()]


def prune(kept: Store, limits: Limits) -> list[int]:
    """Prune to the end, and return how many reports were left after each step."""
    left = []
    kept._writer.start_pruning(limits)
    while kept._writer.prune_a_step():
        (count,) = kept._writer._connection.execute("SELECT count(*) FROM reports").fetchone()
        left.append(count)
    return left


def test_what_is_old_leaves_by_itself_and_what_is_not_stays(tmp_path: Path) -> None:
    with store(tmp_path, interval=60) as kept:
        kept.add("gone", NOW - 15 * DAY, {"cpu_usage": 1}, [event("alarm-cleared", "gone", NOW - 31 * DAY)])
        kept.add("rpi-1", NOW - 15 * DAY, {"cpu_usage": 1}, [event("alarm-cleared", time=NOW - 29 * DAY)])
        kept.add("rpi-1", NOW - 13 * DAY, {"cpu_usage": 2}, [event(time=NOW - DAY)])
    with store(tmp_path, interval=0.01) as kept:
        wait_until(lambda: ["rpi-1"] == names(kept))
        kept.add("gone", NOW, {"cpu_usage": 3})  # is numbered anew
        kept.flush()
        assert [(NOW - 13 * DAY, 2)] == kept.values("rpi-1", "cpu_usage", 0, NOW * 2)
        assert [NOW - 29 * DAY, NOW - DAY] == [each.time for each in kept.events(0, NOW * 2)]
        assert ["rpi-1"] == [each.thing for each in kept.active()]
        assert [(NOW, 3)] == kept.values("gone", "cpu_usage", 0, NOW * 2)


def test_pruning_goes_in_small_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("defender_detect.store.pruning.STEP", 10)
    with store(tmp_path, interval=60) as kept:
        for number in range(95):
            kept.add(f"thing-{number}", 1000.0, {"cpu_usage": 1})
        kept.flush()
        left = prune(kept, Limits(NOW, NOW))
        assert [85, 75, 65, 55, 45, 35, 25, 15, 5, 0] == left[:10]
        assert [] == names(kept)


def test_a_thing_whose_alarm_is_on_is_known_until_the_alarm_ends(tmp_path: Path) -> None:
    with store(tmp_path, interval=60) as kept:
        kept.add("silent", NOW - 40 * DAY, {"n": 1}, [event(thing="silent", time=NOW - 40 * DAY)])
        kept.flush()
        prune(kept, Limits(NOW - 14 * DAY, NOW - 30 * DAY))
        assert ["silent"] == [each.thing for each in kept.active()] == names(kept)
        assert ["in-alarm"] == [each.type for each in kept.events(0, NOW * 2)]
        kept.add("silent", NOW, None, [event("alarm-invalidated", thing="silent")])
        kept.flush()
        prune(kept, Limits(NOW - 14 * DAY, NOW - 30 * DAY))
        assert [] == list(kept.active()) == names(kept)
        assert ["alarm-invalidated"] == [each.type for each in kept.events(0, NOW * 2)]


# More than there is room for

LONGEST = tuple(f"sshd-{number:06}" for number in range(9_000))  # 108 KB; 118 fit into a report


def flood(kept: Store, hours: int, thing: str = "flood", **more: Any) -> None:
    """Let a thing report as much as it can for some hours, the last time now."""
    reports = int(hours * HOUR / STEP)
    for number in range(reports):
        kept.add(thing, NOW - STEP * (reports - number - 1), {"words": LONGEST}, **more)
        if number % 20 == 0:
            kept.flush()
    kept.flush()


def test_the_oldest_values_leave_where_they_do_not_fit_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A day of the longest reports takes more than 30 MB."""
    with store(tmp_path, interval=60) as kept:
        kept.add("rpi-1", NOW - 23 * HOUR, {"n": 1}, [event(time=NOW - 23 * HOUR)], b"state", 7)
        kept.add("rpi-2", NOW - 20 * HOUR, {"n": 1}, [event("alarm-cleared", "rpi-2", NOW - 20 * HOUR)], b"state", 8)
        kept.add("rpi-1", NOW - HOUR, {"n": 2}, report_id=9)
        flood(kept, 24)
        connection = kept._writer._connection
        assert count_bytes(connection) > 30 * MEGABYTE
        limits = Limits(NOW - 14 * DAY, NOW - 30 * DAY, 10 * MEGABYTE)
        with caplog.at_level(logging.WARNING):
            left = prune(kept, limits)
            assert 9 * MEGABYTE < count_bytes(connection) < 10 * MEGABYTE
            assert len(left) > 2  # in steps
            flood(kept, 4)
            prune(kept, limits)
        assert 9 * MEGABYTE < count_bytes(connection) < 10 * MEGABYTE
        newest = [when for when, _ in kept.values("flood", "words", 0, NOW * 2)]
        assert NOW == newest[-1]
        assert len(newest) == len(set(newest)) == (newest[-1] - newest[0]) / STEP + 1 > 50
        assert [(NOW - HOUR, 2)] == kept.values("rpi-1", "n", 0, NOW * 2)
        assert [] == kept.values("rpi-2", "n", 0, NOW * 2)
        assert ["flood", "rpi-1", "rpi-2"] == names(kept)
        assert ["rpi-1"] == [each.thing for each in kept.active()]
        assert ["rpi-1", "rpi-2"] == [each.thing for each in kept.events(0, NOW * 2)]
        states = {each.thing: (each.report_id, each.state) for each in kept.load_states()}
        assert {"rpi-1": (9, b"state"), "rpi-2": (8, b"state"), "flood": (None, None)} == states
    assert 1 == caplog.text.count(
        "the database is as large as detect.most_bytes allows (10000000): values of metrics are kept from"
    )


def test_a_store_that_runs_keeps_within_its_bytes_by_itself_and_its_file_is_filled_again(tmp_path: Path) -> None:
    with store(tmp_path, interval=0.01, most_bytes=10 * MEGABYTE) as kept:
        for _ in range(4):
            flood(kept, 12)
            wait_until(lambda: used(kept.path) <= 10 * MEGABYTE)
        assert kept.path.stat().st_size < 40 * MEGABYTE  # of the 68 that were written
        assert NOW == kept.values("flood", "words", 0, NOW * 2)[-1][0]


def used(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return count_bytes(connection)
    finally:
        connection.close()


def test_where_violations_alone_do_not_fit_the_oldest_leave_but_not_those_that_are_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with store(tmp_path, interval=60) as kept:
        kept.add("on", NOW - 48 * HOUR, {"n": 1}, [event(thing="on", time=NOW - 48 * HOUR)])
        for number in range(160):
            when = NOW - STEP * (160 - number)
            kind = "alarm-cleared" if number % 2 else "in-alarm"
            kept.add(
                "flood", when, {"n": 1}, [event(kind, "flood", when, value=LONGEST, violation_id=f"id-{number // 2}")]
            )
        kept.flush()
        with caplog.at_level(logging.WARNING):
            prune(kept, Limits(NOW - 14 * DAY, NOW - 30 * DAY, 10 * MEGABYTE))
        assert count_bytes(kept._writer._connection) < 10 * MEGABYTE
        first, *others = kept.events(0, NOW * 2)
        assert "on" == first.thing
        assert ["flood"] * len(others) == [each.thing for each in others]
        assert NOW - STEP == others[-1].time
        assert 70 < len(others) < 90
        assert ["on"] == [each.thing for each in kept.active()]
        assert [] == kept.values("flood", "n", 0, NOW * 2)
    assert 1 == caplog.text.count("all values of metrics were removed early, and then violations")


def test_a_step_removes_some_megabytes_at_most_however_long_the_reports_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("defender_detect.store.pruning.STEP_BYTES", MEGABYTE)
    with store(tmp_path, interval=60) as kept:
        flood(kept, 5)
        left = prune(kept, Limits(NOW + DAY, NOW))
    assert [60 - 9 * (number + 1) for number in range(6)] == left[:6]
    assert 0 == left[6]

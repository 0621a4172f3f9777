"""What Detect keeps outlives a kill and a restart, leaves when it is old, and holds nobody up."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from defender_detect.errors import StoreError
from defender_detect.evaluate.alarms import Event, Lasting
from defender_detect.store import batch, schema
from defender_detect.store.packing import pack_values, unpack_values
from defender_detect.store.reader import Reader, Thing, ThingState
from defender_detect.store.store import Store

ROOT = Path(__file__).resolve().parent.parent.parent.parent
NOW = 1_800_000_000.25
CRITERIA = {"comparisonOperator": "less-than-equals", "value": {"number": 75}}


def event(what: str = "in-alarm", thing: str = "rpi-1", time: float = NOW, **changes: Any) -> Event:
    fields: dict[str, Any] = {
        "violation_id": f"id-{thing}",
        "thing": thing,
        "profile": "cpu-usage",
        "behavior": "cpu",
        "metric": "cpu_usage",
        "type": what,
        "time": time,
        "value": 99.5,
        "criteria": CRITERIA,
        "kind": "number",
        "suppressed": False,
    }
    return Event(**{**fields, **changes})


def store(path: Path, **options: Any) -> Store:
    return Store(path, **{"clock": lambda: NOW, **options})


@pytest.mark.parametrize("value", [0, 5, -3, 26.1, 1e300, (), (22, 443), (1.5, 2), ("sshd", "é"), ("10.0.0.1",), 2**62])
def test_a_value_comes_back_as_it_was(tmp_path: Path, value: Any) -> None:
    with store(tmp_path) as kept:
        kept.add("rpi-1", NOW, {"other": 1, "metric": value})
        assert kept.flush()
        ((when, found),) = kept.values("rpi-1", "metric", NOW, NOW + 1)
    assert (NOW, value, type(value)) == (when, found, type(found))


@pytest.mark.parametrize(
    ("value", "expected"), [(10**30, 1e30), (10**400, None), (("a\ud800",), ("a?",)), ((1, 10**30), (1, 1e30))]
)
def test_what_no_database_can_hold_is_kept_as_nearly_as_can_be(value: Any, expected: Any) -> None:
    assert [(1, expected), (2, 5)] == list(unpack_values(pack_values({"a": value, "b": 5}, {"a": 1, "b": 2})))


def test_values_are_found_by_thing_metric_and_time_across_hours(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        for number in range(100):
            kept.add("rpi-1", NOW + 300 * number, {"cpu_usage": number})
            kept.add("rpi-2", NOW + 300 * number, {"cpu_usage": -number, "rare": 1})
        kept.flush()
        found = kept.values("rpi-1", "cpu_usage", NOW + 300 * 10, NOW + 300 * 90)
        assert [(NOW + 300 * number, number) for number in range(10, 90)] == found
        assert [] == kept.values("rpi-1", "rare", 0, NOW * 2) == kept.values("rpi-1", "unheard-of", 0, NOW * 2)
        assert [] == kept.values("rpi-3", "cpu_usage", 0, NOW * 2)
        assert ["cpu_usage", "rare"] == kept.metrics("rpi-2")


def test_a_restart_continues_with_the_states_and_last_reports(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        kept.add("rpi-2", NOW + 1, {}, state=b"two", report_id=8)
        kept.add("rpi-1", NOW, {}, state=b"one", report_id=7)
        kept.flush()
        kept.add("rpi-1", NOW + 5, None, state=b"later")  # silence, and no report
    with store(tmp_path) as kept:
        expected = [ThingState("rpi-1", 7, NOW, b"later"), ThingState("rpi-2", 8, NOW + 1, b"two")]
        assert expected == list(kept.load_states())
        assert [Thing("rpi-1", 7, NOW, 0), Thing("rpi-2", 8, NOW + 1, 0)] == list(kept.things())


def test_events_are_kept_in_order_and_found_by_time_thing_and_profile(tmp_path: Path) -> None:
    events = [
        event(),
        event("alarm-cleared", time=NOW + 9, value=None),
        event(thing="rpi-2", time=NOW + 5, profile="p", value=(22, 80), suppressed=True, kind="ports"),
    ]
    with store(tmp_path) as kept:
        kept.add("rpi-1", NOW, {}, events)
        kept.flush()
        assert [events[0], events[2], events[1]] == list(kept.events(NOW, NOW + 10))
        assert [events[2]] == list(kept.events(0, NOW * 2, profile="p"))
        assert [events[2]] == list(kept.events(0, NOW * 2, thing="rpi-2"))
        assert [events[0]] == list(kept.events(NOW, NOW + 5))


def test_an_alarm_is_active_from_its_first_event_to_its_last_and_shows_the_newest_violation(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        kept.add("rpi-1", NOW, {}, [event()], lasting=[Lasting("unknown", 1)])
        kept.flush()
        kept.add("rpi-1", NOW + 300, {}, lasting=[Lasting("id-rpi-1", 88)])
        kept.flush()
        (active,) = kept.active()
        assert ("id-rpi-1", NOW, NOW + 300, 88) == (
            active.violation_id, active.started_at, active.last_time, active.last_value,
        )  # fmt: skip
        assert (CRITERIA, "number", False) == (active.criteria, active.kind, active.suppressed)
        kept.add(
            "rpi-1", NOW + 600, {}, [event("alarm-cleared"), event(violation_id="new"), event("alarm-invalidated")]
        )
        kept.flush()
        assert [] == list(kept.active())


def test_a_batch_larger_than_a_statement_is_kept_whole(tmp_path: Path) -> None:
    names = [f"thing-{number:04d}" for number in range(2500)]
    with store(tmp_path, interval=60) as kept:
        for number, name in enumerate(names):
            kept.add(name, NOW, {"n": number, f"metric-{number % 7}": 1}, [event(thing=name)], b"%d" % number, number)
        assert kept.flush()
        for number, name in enumerate(names):
            kept.add(name, NOW + 300, {"n": -number}, lasting=[Lasting(f"id-{name}", number)])
        assert kept.flush()
        expected = [(name, number, NOW + 300, b"%d" % number) for number, name in enumerate(names)]
        assert expected == sorted(kept.load_states())
        assert names == [each.thing for each in kept.events(0, NOW * 2)]
        assert [(NOW + 300, number) for number in range(2500)] == [
            (each.last_time, each.last_value) for each in kept.active()
        ]
        for number in (0, 239, 240, 241, 2499):
            assert [(NOW, number), (NOW + 300, -number)] == kept.values(names[number], "n", 0, NOW * 2)
            assert [(NOW, 1)] == kept.values(names[number], f"metric-{number % 7}", 0, NOW * 2)
        for name in names:
            kept.add(name, NOW + 600, None, [event("alarm-cleared", thing=name)])
        assert kept.flush()
        assert [] == list(kept.active())


def test_of_an_alarm_that_ends_and_begins_again_in_one_batch_the_last_word_counts(tmp_path: Path) -> None:
    with store(tmp_path, interval=60) as kept:
        kept.add("rpi-1", NOW, {}, [event(), event("alarm-cleared"), event(violation_id="second", time=NOW + 1)])
        kept.add("rpi-2", NOW, {}, [event(thing="rpi-2"), event("alarm-cleared", thing="rpi-2")])
        kept.flush()
        assert [("second", NOW + 1)] == [(each.violation_id, each.started_at) for each in kept.active()]
        assert 5 == len(list(kept.events(0, NOW * 2)))


def test_a_thread_that_computes_does_not_hold_up_a_batch(tmp_path: Path) -> None:
    """Row by row it took seconds: each step gives the interpreter's lock away, for 5 ms."""
    done = threading.Event()

    def compute() -> None:
        while not done.is_set():
            sum(range(500))

    threads = [threading.Thread(target=compute) for _ in range(2)]
    with store(tmp_path, interval=60) as kept:
        for number in range(3500):
            kept.add(f"thing-{number}", NOW, {"n": number}, [event(thing=f"thing-{number}")], b"state", number)
        try:
            for thread in threads:
                thread.start()
            started = time.monotonic()
            assert kept.flush()
            assert time.monotonic() - started < 5
        finally:
            done.set()
        assert 3500 == len(list(kept.things()))


def test_made_up_metrics_are_kept_in_a_bounded_number_and_that_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("defender_detect.store.writer.MOST_METRICS", 3)
    with store(tmp_path, interval=60) as kept:
        for number in range(6):
            kept.add("rpi-1", NOW + number, {f"made-up-{number}": 1, "cpu_usage": number})
            kept.flush()
        assert [0, 1, 2, 3, 4, 5] == [value for _, value in kept.values("rpi-1", "cpu_usage", 0, NOW * 2)]
        assert 1 == len(kept.values("rpi-1", "made-up-1", 0, NOW * 2))
        assert [] == kept.values("rpi-1", "made-up-2", 0, NOW * 2)
    assert 1 == caplog.text.count("more than 3 different metrics: others, such as 'made-up-2', are not kept")


def test_another_process_reads_while_detect_runs(tmp_path: Path) -> None:
    code = f"from defender_detect.store.reader import Reader; print(next(Reader({str(tmp_path)!r}).things()).report_id)"
    with store(tmp_path) as kept:
        kept.add("rpi-1", NOW, {"cpu_usage": 1}, report_id=42)
        kept.flush()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "42" == done.stdout.strip()


WORK = """
import sys
from defender_detect.store.store import Store
store, number = Store(sys.argv[1], interval=0.01, clock=lambda: 1000.0), 0
while True:
    number += 1
    state = number.to_bytes(8, "big")
    store.add("one", float(number), {"n": number}, state=state, report_id=number)
    if number % 100 == 0:
        store.flush()
        print(number, flush=True)
"""


def test_a_kill_loses_no_more_than_the_last_batch_and_leaves_none_in_part(tmp_path: Path) -> None:
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", WORK, tmp_path], stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout
            told = [int(process.stdout.readline()) for _ in range(20)]
            time.sleep(0.05)
            os.kill(process.pid, signal.SIGKILL)
            told += map(int, process.stdout.read().split())
        with store(tmp_path, clock=lambda: 1000.0) as kept:
            numbers = [value for _, value in kept.values("one", "n", 0, 1e9)]
            (state,) = kept.load_states()
            assert list(range(1, state.report_id + 1)) == numbers[: state.report_id]
            assert state.report_id >= told[-1]
            assert int.from_bytes(state.state, "big") == state.report_id
        with sqlite3.connect(tmp_path / schema.DATABASE) as connection:
            assert ("ok",) == connection.execute("PRAGMA integrity_check").fetchone()
            connection.execute("DELETE FROM reports")
        connection.close()


def test_adding_never_waits_for_the_disk_and_the_newest_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another connection holds the database; then lets it go."""
    monkeypatch.setattr(batch, "MOST_REPORTS", 50)
    monkeypatch.setattr(schema, "PATIENCE", 0.05)
    with store(tmp_path, interval=60) as kept:
        blocker = sqlite3.connect(tmp_path / schema.DATABASE, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        longest = 0.0
        for number in range(100):
            started = time.perf_counter()
            kept.add("rpi-1", NOW + number, {"n": number}, state=b"%d" % number)
            longest = max(longest, time.perf_counter() - started)
            if number % 40 == 0:
                assert not kept.flush()
        blocker.execute("COMMIT")
        blocker.close()
        assert kept.flush()
        assert list(range(50, 100)) == [value for _, value in kept.values("rpi-1", "n", 0, NOW * 2)]
        assert b"99" == next(kept.load_states()).state
    assert longest < 0.05
    assert 1 == caplog.text.count("cannot be written (database is locked)")
    assert "50 reports or events are not kept" in caplog.text
    assert 1 == caplog.text.count("can be written again")


@pytest.mark.parametrize("damage", [b"", b"rubbish" * 1000])
def test_a_damaged_database_is_set_aside_and_said(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with store(tmp_path) as kept:
        kept.add("rpi-1", NOW, {"cpu_usage": 1})
    path = tmp_path / schema.DATABASE
    path.write_bytes(damage or path.read_bytes()[:100] + b"\xff" * 8000)
    with store(tmp_path) as kept:
        kept.add("rpi-2", NOW, {"cpu_usage": 1})
        kept.flush()
        assert ["rpi-2"] == [each.name for each in kept.things()]
    (aside,) = tmp_path.glob("detect.db.damaged-*")
    assert aside.name in caplog.text


def test_damage_while_detect_runs_loses_the_past_and_not_what_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with store(tmp_path, interval=60) as kept:
        kept.add("rpi-1", NOW, {"cpu_usage": 1})
        kept.flush()
        kept._writer._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        kept._writer._connection.execute("PRAGMA shrink_memory")
        with open(kept.path, "r+b") as file:
            file.seek(100)
            file.write(b"\xff" * (kept.path.stat().st_size - 100))
        other = sqlite3.connect(kept.path)  # whose commit makes the writer forget its cached pages
        with pytest.raises(sqlite3.DatabaseError):
            other.execute("SELECT * FROM things").fetchall()
        other.close()
        kept._writer._connection.execute("PRAGMA cache_size = 0")
        kept.add("rpi-2", NOW, {"cpu_usage": 2})
        assert kept.flush()
        assert [(NOW, 2)] == kept.values("rpi-2", "cpu_usage", 0, NOW * 2)
    assert "is damaged" in caplog.text


def test_a_database_of_another_version_or_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    store(tmp_path).close()
    path = tmp_path / schema.DATABASE
    for pragma, expected in (("user_version = 9", "has schema 9, and"), ("application_id = 5", "another program's")):
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA {pragma}")
        connection.close()
        before = path.read_bytes()
        with pytest.raises(StoreError, match=expected):
            store(tmp_path)
        with pytest.raises(StoreError, match=expected):
            list(Reader(tmp_path).things())
        assert before == path.read_bytes()


def test_two_detects_do_not_share_a_directory(tmp_path: Path) -> None:
    with store(tmp_path), pytest.raises(StoreError, match="another amazon-defender-detect"):
        store(tmp_path)
    store(tmp_path).close()


def test_the_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    with store(tmp_path / "new" / "state"):
        assert 0o700 == stat.S_IMODE((tmp_path / "new" / "state").stat().st_mode)


def test_places_where_nothing_can_be_kept_or_is_kept_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/below cannot be used \(Not a directory\)"):
        store(tmp_path / "file" / "below")
    with pytest.raises(StoreError, match="has not run with it yet"):
        list(Reader(tmp_path / "empty").things())


def test_what_cannot_be_written_at_all_is_said_and_does_not_end_the_store(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), store(tmp_path, interval=0.01) as kept:
        kept.add("rpi-1", NOW, {"cpu_usage": object()})
        time.sleep(0.1)
        kept.add("rpi-1", NOW, {"cpu_usage": 1})
        time.sleep(0.1)
        assert [(NOW, 1)] == kept.values("rpi-1", "cpu_usage", 0, NOW * 2)
    assert "is not kept" in caplog.text

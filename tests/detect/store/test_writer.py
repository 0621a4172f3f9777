"""The writer: batches go to the disk whole, in a thread of its own."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from defender_detect.evaluate.alarms import Lasting
from defender_detect.store import schema
from tests.detect.store.test_store import event, store
from tests.waiting import FOR_EVER, PATIENCE, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent.parent


NOW = 1_800_000_000.25


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
    steps: list[str] = []
    with store(tmp_path, interval=60) as kept:
        kept._writer._connection.set_trace_callback(steps.append)
        for number in range(3500):
            kept.add(f"thing-{number}", NOW, {"n": number}, [event(thing=f"thing-{number}")], b"state", number)
        try:
            for thread in threads:
                thread.start()
            assert kept.flush()
        finally:
            done.set()
        assert 10 < len(steps) < 200
        assert 3500 == len(list(kept.things()))


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


def test_adding_goes_on_while_a_batch_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "PATIENCE", FOR_EVER)
    with store(tmp_path, interval=60) as kept:
        blocker = sqlite3.connect(tmp_path / schema.DATABASE, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        kept.add("rpi-1", NOW, {"n": 0})
        batch_of_one = threading.Thread(target=kept.flush)
        batch_of_one.start()
        assert wait_until(kept._turn_lock.locked)
        for number in range(1, 100):
            kept.add("rpi-1", NOW + number, {"n": number})
        assert batch_of_one.is_alive()
        blocker.execute("COMMIT")
        blocker.close()
        batch_of_one.join(PATIENCE)
        assert kept.flush()
        assert list(range(100)) == [value for _, value in kept.values("rpi-1", "n", 0, NOW * 2)]


def test_what_cannot_be_written_at_all_is_said_and_does_not_end_the_store(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), store(tmp_path, interval=0.01) as kept:
        kept.add("rpi-1", NOW, {"cpu_usage": object()})
        assert wait_until(lambda: "is not kept" in caplog.text)
        kept.add("rpi-1", NOW, {"cpu_usage": 1})
        assert wait_until(lambda: [(NOW, 1)] == kept.values("rpi-1", "cpu_usage", 0, NOW * 2))
    assert "is not kept" in caplog.text

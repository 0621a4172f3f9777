"""What waits to be written is bounded."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from defender_detect.store import batch, schema
from defender_detect.store.reader import Reader
from defender_detect.store.writer import Writer
from tests.detect.store.test_store import event, store
from tests.waiting import PATIENCE

NOW = 1_800_000_000.25


def test_while_nothing_can_be_written_the_newest_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another connection holds the database; then lets it go."""
    monkeypatch.setattr(batch, "MOST_REPORTS", 50)
    monkeypatch.setattr(schema, "PATIENCE", 0.05)
    with store(tmp_path, interval=60) as kept:
        blocker = sqlite3.connect(tmp_path / schema.DATABASE, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        for number in range(100):
            kept.add("rpi-1", NOW + number, {"n": number}, state=b"%d" % number)
            if number % 40 == 0:
                assert not kept.flush()
        blocker.execute("COMMIT")
        blocker.close()
        assert kept.flush()
        assert list(range(50, 100)) == [value for _, value in kept.values("rpi-1", "n", 0, NOW * 2)]
        assert b"99" == next(kept.load_states()).state
    assert 1 == caplog.text.count("cannot be written (database is locked)")
    assert "50 reports or events are not kept" in caplog.text
    assert 1 == caplog.text.count("can be written again")


def test_nobody_waits_while_the_disk_takes_nothing_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write hangs, as on a disk that stalls; what is added meanwhile is there afterwards."""
    hangs, goes_on, write = threading.Event(), threading.Event(), Writer.write

    def hang(self: Writer, waiting: batch.Batch) -> None:
        hangs.set()
        assert goes_on.wait(PATIENCE)
        write(self, waiting)

    monkeypatch.setattr(Writer, "write", hang)
    with store(tmp_path, interval=0.01) as kept:
        kept.add("rpi-0", NOW, {"n": 0}, [event(thing="rpi-0")], b"0")
        assert hangs.wait(PATIENCE)
        for number in range(1, 500):
            kept.add(f"rpi-{number}", NOW, {"n": number}, [event(thing=f"rpi-{number}")], b"%d" % number)
        goes_on.set()
    reader = Reader(tmp_path)
    assert {f"rpi-{number}": {"n": number} for number in range(500)} == {
        thing: values for _, thing, values in reader.observed(0, NOW * 2)
    }
    assert 500 == len(list(reader.active())) == len(list(reader.events(0, NOW * 2)))
    assert {b"%d" % number for number in range(500)} == {each.state for each in reader.load_states()}


@pytest.mark.slow
def test_ten_seconds_of_full_load_have_room_while_nothing_can_be_written(tmp_path: Path) -> None:
    """10,000 reports a second, of which each raises an alarm, while somebody else holds the database."""
    with store(tmp_path, interval=60) as kept:
        blocker = sqlite3.connect(tmp_path / schema.DATABASE, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        for number in range(100_000):
            kept.add(f"rpi-{number}", NOW, {"n": number}, [event(thing=f"rpi-{number}")], b"state", number)
        assert not kept.flush()
        blocker.execute("COMMIT")
        blocker.close()
        assert kept.flush()
    (counts,) = sqlite3.connect(tmp_path / schema.DATABASE).execute(
        "SELECT (SELECT count(*) FROM reports), (SELECT count(*) FROM active), (SELECT count(*) FROM states)"
    )
    assert (100_000, 100_000, 100_000) == counts

"""What waits to be written is bounded."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from defender_detect.store import batch, schema
from tests.detect.store.test_store import store

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

"""The database: its version, and what becomes of a damaged one."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from defender_detect.errors import StoreError
from defender_detect.store import schema
from defender_detect.store.reader import Reader
from defender_detect.store.schema import DATABASE
from defender_detect.store.store import Store
from tests.detect.store.test_reader import BEHAVIORS, NAMES
from tests.detect.store.test_store import NOW, event, store


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


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Store]:
    """25 things with two alarms each, of which many began at the same time, in the order of chance."""
    names, chance = list(NAMES), random.Random(5)
    chance.shuffle(names)
    with store(tmp_path, interval=60) as made:
        for place, name in enumerate(names):
            alarms = [
                event(
                    thing=name,
                    time=NOW + place // 10,
                    behavior=each,
                    violation_id=f"{chance.random()}",
                    profile=profile,
                )
                for each, profile in zip(BEHAVIORS, ("p", "q"))
            ]
            made.add(name, NOW + place, {"n": 1}, alarms, report_id=place)
        made.flush()
        yield made


def test_a_database_of_an_earlier_release_gets_what_is_new_when_detect_opens_it(tmp_path: Path) -> None:
    store(tmp_path).close()
    connection = sqlite3.connect(tmp_path / DATABASE)
    connection.execute("DROP INDEX active_by_start")
    connection.commit()
    with store(tmp_path, interval=60) as kept:
        kept.add("rpi-1", NOW, {}, [event()])
        kept.flush()
        assert ["rpi-1"] == [each.thing for each in kept.active()]
    assert [("active_by_start",)] == connection.execute(
        "SELECT name FROM sqlite_master WHERE name = 'active_by_start'"
    ).fetchall()
    connection.close()

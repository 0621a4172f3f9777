"""A database of the release before is brought to this version whole, and one of a version to come is refused."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from defender_detect.errors import StoreError, StoreUnavailable
from defender_detect.store import schema
from defender_detect.store.reader import Reader
from defender_detect.store.schema import DATABASE, VERSION
from tests.detect.store.test_store import NOW, event, store

EARLIER = Path(__file__).with_name("schema-1.sql")


def tables(path: Path) -> list[tuple[str, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    return found


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The state directory of the release that wrote schema 1."""
    directory = tmp_path / "earlier"
    directory.mkdir()
    connection = sqlite3.connect(directory / DATABASE)
    connection.executescript(EARLIER.read_text())
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    return directory


def test_a_database_of_schema_1_keeps_all_it_had_and_gets_what_is_new(earlier: Path, tmp_path: Path) -> None:
    with store(earlier, interval=60) as kept:
        assert [("rpi-1", 7, 1), ("rpi-2", 9, 0)] == [
            (each.name, each.report_id, each.active_violations) for each in kept.things()
        ]
        assert [(NOW, (22, 80))] == kept.values("rpi-1", "aws:listening-tcp-ports", 0, NOW * 2)
        assert ["in-alarm", "in-alarm", "alarm-cleared"] == [each.type for each in kept.events(0, NOW * 2)]
        assert {("cpu-usage", "cpu"): 2} == kept.counts("in-alarm")
        assert {("cpu-usage", "cpu"): 1} == kept.counts("alarm-cleared")
        assert {} == kept.verifications(["id-rpi-1"])
        kept.add("rpi-2", NOW + 600, {}, [event(thing="rpi-2", time=NOW + 600)])
        kept.flush()
        assert {("cpu-usage", "cpu"): 3} == kept.counts("in-alarm")
    store(tmp_path / "new").close()
    assert tables(tmp_path / "new" / DATABASE) == tables(earlier / DATABASE)


def test_a_database_of_schema_2_is_marked_for_the_releases_that_cannot_read_its_states_any_more(earlier: Path) -> None:
    connection = sqlite3.connect(earlier / DATABASE)
    connection.executescript(f"{schema.MIGRATIONS[1]}; PRAGMA user_version = 2")
    before = connection.execute("SELECT * FROM states").fetchall()
    with store(earlier) as kept:
        assert ["rpi-1", "rpi-2"] == [each.name for each in kept.things()]
    assert before == connection.execute("SELECT * FROM states").fetchall()
    assert VERSION == schema.find_version(connection) > 2
    connection.close()


def test_a_migration_that_fails_leaves_the_database_as_it_was(earlier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tables(earlier / DATABASE)
    monkeypatch.setitem(schema.MIGRATIONS, 1, f"{schema.MIGRATIONS[1]}; SELECT * FROM nowhere")
    with pytest.raises(StoreError, match="nowhere"):
        store(earlier)
    assert before == tables(earlier / DATABASE)
    monkeypatch.undo()
    store(earlier).close()
    assert before != tables(earlier / DATABASE)


def test_a_reader_changes_nothing_and_says_how_an_earlier_database_is_brought_up_to_date(earlier: Path) -> None:
    with pytest.raises(StoreError, match="start this amazon-defender-detect once with it"):
        list(Reader(earlier).things())
    with pytest.raises(StoreError, match="start this amazon-defender-detect once with it"):
        Reader(earlier).check()


def test_a_database_of_a_version_to_come_is_refused_and_left_alone(earlier: Path) -> None:
    connection = sqlite3.connect(earlier / DATABASE)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    kept = shutil.copy(earlier / DATABASE, earlier.parent)
    for use in (lambda: store(earlier), lambda: Reader(earlier).check()):
        with pytest.raises(StoreError, match=f"has schema {VERSION + 1}, and this .* knows only 1 to {VERSION}"):
            use()
    assert tables(Path(kept)) == tables(earlier / DATABASE)


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


def test_damage_in_the_midst_of_what_a_start_reads_is_found_before_it_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with store(tmp_path) as kept:
        kept.add("rpi-1", NOW, {"cpu_usage": 1})
    path = tmp_path / DATABASE
    connection = sqlite3.connect(path)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'states'").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    with store(tmp_path) as kept:
        assert [] == list(kept.load_states())
    assert 1 == len(list(tmp_path.glob("detect.db.damaged-*")))
    assert "is damaged" in caplog.text


@pytest.mark.parametrize("says", schema.FAILING)
def test_a_disk_that_is_full_or_fails_is_said_and_may_be_tried_again(
    tmp_path: Path, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> sqlite3.Connection:
        raise sqlite3.OperationalError(says)

    monkeypatch.setattr(schema, "_open", fail)
    with pytest.raises(StoreUnavailable, match=f"{says}; see that its disk works and has room: df -h {tmp_path}$"):
        store(tmp_path)


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

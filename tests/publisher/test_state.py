"""What must outlive a restart does, whatever happens to the disk."""

import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Optional

import msgspec
import pytest

from defender_daemon.status import StatusError
from defender_publisher.snapshot import Counters
from defender_publisher.state import (
    LOCK_FILE,
    STATE_FILE,
    Baseline,
    MemoryState,
    State,
    StateFile,
    StateInUseError,
    publisher_runs,
)
from defender_publisher.status import STATUS_FILE, read_status
from tests.daemon.test_files import TRAPS

STATE = State("rpi-1", 7, 100.0, 100.5, baseline=Baseline(99.0, "boot", {"eth0": Counters(1, 2, 3, 4)}))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    StateFile(tmp_path / "new" / "directory").save(STATE)
    assert STATE == StateFile(tmp_path / "new" / "directory").load("rpi-1")


OF_AN_OLDER_RELEASE = (
    b'{"thing_name":"rpi-1","last_report_id":7,"published_at":100.0,"accepted_at":100.5,"baseline":{"taken_at":99.0,'
    b'"boot_id":"boot","interfaces":{"eth0":[1,2,3,4]}},"unsettled":null}'
)


def test_the_state_of_a_release_that_did_not_know_indexes_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(OF_AN_OLDER_RELEASE)
    assert STATE == StateFile(tmp_path).load("rpi-1")


def test_that_release_finds_all_it_knows_in_the_state_of_this_one(tmp_path: Path) -> None:
    class OldBaseline(msgspec.Struct):
        taken_at: float
        boot_id: Optional[str]
        interfaces: dict[str, Counters]

    class OldState(msgspec.Struct):
        thing_name: str
        last_report_id: int
        baseline: Optional[OldBaseline]

    baseline = Baseline(99.0, "boot", {"eth0": Counters(1, 2, 3, 4)}, {"eth0": "7@8"})
    StateFile(tmp_path).save(State("rpi-1", 7, baseline=baseline))
    found = msgspec.json.decode((tmp_path / "state.json").read_bytes(), type=OldState)
    assert OldState("rpi-1", 7, OldBaseline(99.0, "boot", {"eth0": Counters(1, 2, 3, 4)})) == found
    assert baseline == StateFile(tmp_path).load("rpi-1").baseline


def test_a_device_that_never_reported_starts_afresh(tmp_path: Path) -> None:
    assert State("rpi-1") == StateFile(tmp_path).load("rpi-1") == MemoryState().load("rpi-1")


def test_another_things_state_is_not_used(tmp_path: Path) -> None:
    StateFile(tmp_path).save(STATE)
    assert State("rpi-2") == StateFile(tmp_path).load("rpi-2")


@pytest.mark.parametrize("content", [b"", b"{", b"\x00" * 100, b'{"last_report_id": "x"}', b"[1]"])
def test_a_damaged_state_is_set_aside_and_said(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state.json").write_bytes(content)
    assert State("rpi-1") == StateFile(tmp_path).load("rpi-1")
    (kept,) = tmp_path.glob("state.json.damaged-*")
    assert content == kept.read_bytes()
    assert kept.name in caplog.text
    assert "damaged" in caplog.text


def test_the_file_is_replaced_and_never_written_in_place(tmp_path: Path) -> None:
    store = StateFile(tmp_path)
    store.save(STATE)
    held = (tmp_path / "state.json").open("rb")
    store.save(State("rpi-1", 8))
    with held:
        assert b'"last_report_id":7' in held.read()
    assert ["state.json"] == os.listdir(tmp_path)


def test_a_directory_that_cannot_be_written_is_done_without_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    store = StateFile(tmp_path / "file" / "below")
    with caplog.at_level(logging.WARNING), store:
        store.save(STATE)
        assert State("rpi-1") == store.load("rpi-1")
    assert 1 == len(caplog.records)
    assert "cannot be used (Not a directory)" in caplog.text


def test_a_directory_in_the_states_place_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "state.json").mkdir()
    assert State("rpi-1") == StateFile(tmp_path).load("rpi-1")
    StateFile(tmp_path).save(STATE)
    assert STATE == StateFile(tmp_path).load("rpi-1")
    assert "is damaged" in caplog.text


def test_two_publishers_do_not_share_a_state(tmp_path: Path) -> None:
    with StateFile(tmp_path), pytest.raises(StateInUseError, match="another amazon-defender-publisher"):
        StateFile(tmp_path).acquire()
    with StateFile(tmp_path):
        pass  # released


def test_the_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    with StateFile(tmp_path / "state"):
        assert 0o700 == stat.S_IMODE((tmp_path / "state").stat().st_mode)


@pytest.mark.parametrize("name", [".state.json.new", "lock"])
def test_no_link_is_followed_that_someone_left_in_the_directory(tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / name).symlink_to(precious)
    with StateFile(tmp_path / "state") as store:
        store.save(State(thing_name="rpi-0001", last_report_id=7))
    assert "precious" == precious.read_text()


@pytest.fixture(params=TRAPS)
def trap(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    return TRAPS[request.param]


@pytest.mark.timeout(60)
def test_the_state_its_lock_and_the_status_wait_for_nobody(tmp_path: Path, trap: Callable[[Path], None]) -> None:
    for name in (STATE_FILE, LOCK_FILE, STATUS_FILE):
        directory = tmp_path / name
        directory.mkdir()
        trap(directory / name)
        with StateFile(directory) as store:
            state = store.load("t")
            store.save(state)
        if name == STATUS_FILE:
            with pytest.raises(StatusError):
                read_status(directory)
        if name == LOCK_FILE:
            with pytest.raises(OSError, match=r"."):
                publisher_runs(directory)
        if (directory / "precious").exists():
            assert "precious" == (directory / "precious").read_text()

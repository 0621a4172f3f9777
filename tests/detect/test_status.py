"""The status is what Detect knows of itself: written when its main loop looks, and read by whoever asks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("cryptography")
pytest.importorskip("paho.mqtt")

from defender_daemon.status import LastErrorHandler, StatusError
from defender_detect import status as module
from defender_detect.config import Config
from defender_detect.daemon import note_errors
from defender_detect.receive.endpoint import Endpoint
from defender_detect.status import StatusFile, config_hash, open_status, read_status
from tests.detect.test_doctor import Site
from tests.detect.test_doctor import site as site

HERE = Endpoint("::1", 8883)


def opened(directory: Path | None, **agent: Any) -> StatusFile:
    """The status of a Detect that starts."""
    agent["state_directory"] = None if directory is None else str(directory)
    return open_status(config(**agent), None, HERE)


def config(**agent: Any) -> Config:
    return Config(agent=msgspec.structs.replace(Config().agent, **agent))


def test_a_damaged_status_is_a_sentence(site: Site) -> None:
    site.run()
    (site.state / "status.json").write_text("{")
    with pytest.raises(StatusError, match="is damaged"):
        read_status(site.state)


def test_the_last_error_is_in_the_status_and_an_alarm_is_none(site: Site) -> None:
    status, root = site.run(), logging.getLogger()
    before = list(root.handlers)
    note_errors(status)
    try:
        logging.getLogger("defender_detect.alerts.log").warning("rpi-0001: in-alarm")
        assert status.now.last_error is None
        logging.getLogger("defender_detect.receive.receiver").warning("no connection")
        status.look(False)
    finally:
        for handler in set(root.handlers) - set(before):
            root.removeHandler(handler)
            assert isinstance(handler, LastErrorHandler)
    read = read_status(site.state)
    assert "no connection" == (read and read.last_error and read.last_error.text)


def test_a_flood_of_warnings_writes_no_file(site: Site) -> None:
    status = site.run()
    before = (site.state / "status.json").stat().st_mtime_ns
    for number in range(100):
        status.note_error(f"warning {number}")
    assert (site.state / "status.json").stat().st_mtime_ns == before


def test_before_it_looks_nothing_is_written_and_then_it_is_read_again(tmp_path: Path) -> None:
    status = opened(tmp_path)
    assert None is read_status(tmp_path)
    status.look(True, things=2, profiles=3, waiting={"the webhook": 1})
    read = read_status(tmp_path)
    assert status.now == read
    assert read is not None
    assert (2, 3, {"the webhook": 1}, None) == (read.things, read.profiles, read.waiting, read.config_file)


def test_a_line_for_a_service_manager_says_whether_the_broker_is_heard(tmp_path: Path) -> None:
    status = opened(tmp_path)
    assert "not connected to [::1]:8883, things known: 0" == status.now.line()
    assert "ready on [::1]:8883, things known: 5" == status.look(True, things=5)


def test_since_when_is_that_of_the_last_change_and_a_look_counts_by_the_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, since = opened(tmp_path), []
    for now, connected in ((1000.0, True), (1030.0, True), (1085.0, True), (1090.0, False), (1100.0, False)):
        monkeypatch.setattr(module.time, "time", lambda now=now: now)
        status.look(connected)
        since.append((status.now.connection.since, status.now.looked))
    assert [(1000, 960), (1000, 1020), (1000, 1080), (1090, 1080), (1090, 1080)] == since


def test_a_look_that_sees_nothing_new_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "time", lambda: 1000.0)
    status = opened(tmp_path)
    status.look(True, things=1)
    before = (tmp_path / "status.json").stat().st_ino
    status.look(True, things=1)
    assert before == (tmp_path / "status.json").stat().st_ino
    status.look(True, things=2)
    read = read_status(tmp_path)
    assert 2 == (read and read.things)


def test_without_a_state_directory_it_is_said_to_a_service_manager_all_the_same() -> None:
    assert "ready on [::1]:8883, things known: 1" == opened(None).look(True, things=1)


def test_where_it_cannot_be_written_detect_runs_on(tmp_path: Path) -> None:
    status = opened(tmp_path / "none")
    assert status.look(True).startswith("ready")
    assert None is read_status(tmp_path / "none")


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({}, True),
        ({"state_directory": "/other", "debug": True}, True),
        ({"shard": 3}, True),
        ({"minimum_interval": 60.0}, False),
        ({"embedded_broker": True}, False),
    ],
)
def test_a_configuration_is_another_one_by_what_its_evaluation_depends_on(
    changes: dict[str, Any], is_same: bool
) -> None:
    assert is_same == (config_hash(Config()) == config_hash(config(**changes)))


def test_a_private_key_that_systemd_hands_over_makes_no_other_configuration() -> None:
    authentication = Config().agent.authentication
    for key, is_same in (("private_key", True), ("certificate", False), ("endpoint", False)):
        other = msgspec.structs.replace(authentication, **{key: "x"})
        assert is_same == (config_hash(Config()) == config_hash(config(authentication=other)))

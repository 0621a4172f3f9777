"""What was delivered is known after a kill."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from defender_detect.alerts.delivered import FILE, read_times
from defender_detect.alerts.queue import Alerts
from defender_detect.evaluate.alarms import Event
from defender_detect.store.store import Store
from tests.detect.alerts.test_grouping import Target, raised
from tests.waiting import PATIENCE, wait_until

MINUTE = 60.0


def test_what_waits_survives_a_kill(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    start = time.time()
    store, down = Store(tmp_path), Target(works=False)
    killed = Alerts([down, Target()], to_log=False, group_seconds=MINUTE, directory=tmp_path)
    assert (None, 0) == (killed.told_until, killed.restore(()))
    raised(store, killed, start, 100)
    assert down.tried.wait(PATIENCE)
    expected = {"the target #1": start, "the target #2": start + 0.001}  # its first message was taken
    assert wait_until(lambda: read_times(tmp_path / FILE) == expected)
    again, other = Target(), Target()
    alerts = Alerts([again, other], to_log=False, group_seconds=MINUTE, directory=tmp_path)
    since = alerts.told_until
    assert start == since
    assert 100 == alerts.restore(store.events(since, start + 100))
    alerts.close()
    assert (100, 99) == (sum(again.taken.values()), sum(other.taken.values()))
    third = Alerts([Target(), Target()], to_log=False, group_seconds=MINUTE, directory=tmp_path)
    assert [] == list(store.events(third.told_until or 0.0, start + 100))
    third.close()
    store.close()
    down.works = True
    killed.close()


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"a": "b"}', b"\xff", b'{"the target #1": 1e999}'])
def test_a_damaged_file_costs_what_waited_and_nothing_else(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(content)
    alerts = Alerts([Target()], to_log=False, directory=tmp_path)
    assert alerts.told_until is None
    alerts.restore(())
    alerts.close()
    assert {"the target #1"} == set(read_times(tmp_path / FILE))


def test_an_alarm_that_ended_before_others_were_told_survives_a_kill_too(tmp_path: Path) -> None:
    now = time.time()
    target = Target()
    alerts = Alerts([target], to_log=False, group_seconds=0.0, directory=tmp_path)
    alerts.restore(())
    alerts.tell(event_at(now))
    assert wait_until(lambda: read_times(tmp_path / FILE).get("the target #1", 0.0) > now)
    with alerts.announced([event_at(now - 3600.0)]):
        assert {"the target #1": now - 3600.0} == read_times(tmp_path / FILE), "a kill from here on loses nothing"
        alerts.tell(event_at(now - 3600.0))
    assert wait_until(lambda: read_times(tmp_path / FILE)["the target #1"] > now)
    with alerts.announced([]):
        assert read_times(tmp_path / FILE)["the target #1"] > now
    alerts.close()


def test_of_two_that_are_announced_at_a_time_neither_is_forgotten_when_the_other_is_told(tmp_path: Path) -> None:
    now = time.time()
    alerts = Alerts([Target()], to_log=False, group_seconds=0.0, directory=tmp_path)
    alerts.restore(())
    with alerts.announced([event_at(now - 3600.0)]):
        with alerts.announced([event_at(now - 60.0)]):
            pass  # by another thread, which is done first
        with alerts.announced([event_at(now - 120.0)]):
            assert {"the target #1": now - 3600.0} == read_times(tmp_path / FILE)
    alerts.close()


def event_at(moment: float) -> Event:
    return Event("an id", "rpi-1", "p", "b", "m", "alarm-invalidated", moment, None, {}, "count", False)

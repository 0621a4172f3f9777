"""Checks that every daemon's doctor makes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from defender_daemon import rungs
from defender_daemon.ladder import Doubted
from defender_publisher.doctor import local
from defender_publisher.doctor.case import Case
from defender_publisher.errors import Problem
from tests.publisher.doctor.test_local import WriteConfig, failure

MakeCase = Callable[..., Case]


@pytest.fixture
def make_case(write_config: WriteConfig) -> MakeCase:
    """Make the case of a device whose configuration and name are known; keywords change its authentication."""

    def make_case(agent: dict[str, object] | None = None, clock: float | None = None, **authentication: object) -> Case:
        path = write_config(8883)
        config = json.loads(path.read_text())
        config["agent"]["authentication"].update(authentication)
        config["agent"].update(agent or {})
        path.write_text(json.dumps(config))
        case = Case(path, {}, clock=time.time if clock is None else lambda: clock)
        local.read_configuration(case)
        local.find_thing_name(case)
        return case

    return make_case


def test_the_days_left_are_counted() -> None:
    assert "for 365 days more, until 2027-11-21 00:00 UTC" == rungs.remaining(1826755200, 1826755200 - 365 * 86400)
    assert "for 3 hours more" in rungs.remaining(3 * 3600, 0)


def test_a_clock_before_this_release_fails_and_todays_holds(make_case: MakeCase) -> None:
    says, advice = failure(local.check_clock, make_case(clock=12.0))
    assert says.startswith("this device's clock says 1970-01-01 00:00:12 UTC")
    assert "timedatectl" in advice
    assert local.check_clock(make_case()).endswith(" UTC")
    assert rungs.RELEASE_DAY < time.time()


def test_a_disk_that_is_full_is_in_doubt_because_reports_go_on(
    make_case: MakeCase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    case = make_case()
    assert f"{tmp_path}/state, which is made when it is needed" == local.check_state_directory(case)
    (tmp_path / "state").mkdir()
    assert f"{tmp_path}/state" == local.check_state_directory(case)
    full = Problem("the file system is full", "make room")
    monkeypatch.setattr("defender_daemon.files.writing_problem", lambda directory: full)
    with pytest.raises(Doubted, match="the file system is full; make room"):
        local.check_state_directory(case)

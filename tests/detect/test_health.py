"""Detect's health is what its status, its lock, its store and its certificates say together, in words and in JSON."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

pytest.importorskip("cryptography")
pytest.importorskip("paho.mqtt")

from defender_daemon.errors import Problem
from defender_daemon.health import HEALTHY, LATE, NOT_RUNNING
from defender_detect import health
from defender_detect.config import Config
from defender_detect.config_file import read_config
from defender_detect.errors import DetectError
from defender_detect.health import (
    Certificates,
    Health,
    LastReport,
    as_json,
    certificates_of,
    counted,
    describe,
    megabytes,
    named,
)
from defender_detect.receive.endpoint import Endpoint
from defender_detect.status import open_status
from tests.detect.test_doctor import DAY, Site
from tests.detect.test_doctor import site as site


def test_before_a_first_run_it_is_not_running(site: Site) -> None:
    assert site.health().health == NOT_RUNNING
    assert "no Detect has written a status into" in site.said()
    assert "next step      amazon-defender-detect doctor" in site.said()


def test_it_is_healthy_while_it_hears_its_broker(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: site.now)
    site.run(things=2, waiting={"the webhook at https://h": 3})
    site.report("rpi-0001", 30)
    found = site.health()
    assert (found.health, found.things, found.silent) == (HEALTHY, 1, [])
    assert (found.last_report.thing, found.last_report.report_id) == ("rpi-0001", 7)
    said = site.said()
    for line in (
        "healthy: amazon-defender-detect ",
        "broker         the built-in one on 127.0.0.1:18883, heard for 0:00:00",
        "last report    of rpi-0001, 0:00:30",
        "alarms         none are on",
        "alerts         waiting: 3 for the webhook at https://h",
        "profiles       1 with 2 behaviors",
        "certificates   Detect's for 36",
        f"configuration  {site.directory.config}",
    ):
        assert line in said
    assert max(map(len, said.replace(str(site.directory.path), "/etc").splitlines())) <= 80


def test_it_is_late_while_it_hears_no_broker(site: Site) -> None:
    site.run(connected=False)
    assert site.health().health == LATE
    assert "NOT heard for" in site.said()
    assert f"next step      amazon-defender-detect doctor {site.directory.config}" in site.said()


def test_it_is_late_when_no_thing_reports_any_more_and_one_that_is_gone_for_days_is_not_expected(site: Site) -> None:
    site.run()
    site.report("cam-2", 3 * DAY)
    assert site.health().health == HEALTHY
    site.report("cam-1", 1000)
    found = site.health()
    assert (found.health, found.silent, found.things) == (LATE, ["cam-1"], 1)
    assert "1 reported within two days; silent for over 15 minutes: cam-1" in site.said()


def test_it_is_late_when_its_main_loop_hangs(site: Site) -> None:
    site.run()
    site.now += health.HANGS_AFTER + 61
    assert site.health().health == LATE


def test_it_is_not_running_once_it_has_ended(site: Site) -> None:
    site.run()
    site.end()
    assert site.health().health == NOT_RUNNING
    assert "and has ended" in site.said()


def test_a_configuration_that_has_changed_is_said_and_what_systemd_hands_over_is_no_change(site: Site) -> None:
    site.run()
    assert not site.health().config_changed
    same = read_config(site.directory.config, {"private_key": "/run/credentials/detect.key", "state_directory": "/x"})
    assert health.config_hash(same) == health.config_hash(site.config)
    site.change("detect", metrics_days=3)
    assert site.health().config_changed
    assert "has changed since, or options override it; kill -HUP" in site.said()


def test_the_health_is_json_for_a_program(site: Site) -> None:
    site.run()
    found = json.loads("\n".join(as_json([site.health()], 1)))
    assert found["health"] == "healthy"
    assert found["status"]["connection"]["built_in"] is True


def test_without_a_state_directory_nobody_can_see_its_health(site: Site) -> None:
    site.change("agent", state_directory=None)
    with pytest.raises(DetectError, match="agent.state_directory is missing"):
        site.health()


NOW = 1_800_000_000.0


def found(**changes: Any) -> Health:
    """The health of a Detect that runs, and whose status is a minute old."""
    status = open_status(Config(), None, Endpoint("::1", 8883)).now
    given: dict[str, Any] = {
        "health": HEALTHY, "state_directory": "/state", "config_changed": False, "status": status, "things": 1,
        "silent": [], "last_report": LastReport("rpi-1", 7, NOW - 60), "alarms": 1,
        "certificates": Certificates(None, None), "kept": 1_500_000, "free": 2_000_000_000,
    }  # fmt: skip
    return Health(**{**given, **changes})


def line(name: str, **changes: Any) -> str:
    """One line of what is said of a health."""
    with patch.object(time, "time", lambda: NOW):
        (said,) = (each for each in describe(found(**changes), Config()) if each.startswith(name))
    return said[len(name) :].strip()


@pytest.mark.parametrize(("alarms", "said"), [(0, "none are on"), (1, "1 is on"), (2, "2 are on")])
def test_alarms_are_counted_as_people_do(alarms: int, said: str) -> None:
    assert said == line("alarms", alarms=alarms)


def test_a_thing_is_named_so_that_it_cannot_steer_a_terminal() -> None:
    """A name may have what turns the direction of writing."""
    hostile = "a\u202eb"
    assert "of a\\u202eb, 0:01:00 ago" == line("last report", last_report=LastReport(hostile, 1, NOW - 60))
    assert line("things", silent=[hostile]).endswith("silent for over 15 minutes: a\\u202eb")
    assert "none yet" == line("last report", last_report=None)


def test_a_certificate_that_has_ended_is_said_to_have() -> None:
    """It was valid for -3 days more."""
    assert "not known" == line("certificates")
    assert "Detect's for 9 days more" == line("certificates", certificates=Certificates(NOW + 9.5 * DAY, None))
    both = line("certificates", certificates=Certificates(0.0, NOW + 0.5 * DAY))
    assert "Detect's ended on 1970-01-01, the authority's for 0 days more" == both


def test_what_keeps_it_from_its_work_is_said_with_the_next_step() -> None:
    said = [*describe(found(problem=Problem("the disk is full", "make room")), Config())]
    assert ["problem        the disk is full", "               make room"] == said[-4:-2]
    assert "next step      amazon-defender-detect doctor" == said[-2]
    assert not any(each.startswith("next step") for each in describe(found(), Config()))


def test_of_one_that_ended_no_broker_is_said() -> None:
    said = "\n".join(describe(found(health=NOT_RUNNING, config_changed=True), Config()))
    assert "broker" not in said
    assert "has changed since" not in said
    assert "[::1]:8883" in line("broker")


def test_a_few_names_are_said_and_the_others_counted() -> None:
    assert ["", "a", "a, b, c, d, e", "a, b, c, d, e and 1 more"] == [
        named([*each]) for each in ("", "a", "abcde", "abcdef")
    ]
    assert ["0 things", "1 thing", "2 things"] == [counted(number, "thing") for number in range(3)]


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0.0 MB"), (1_500_000, "1.5 MB"), (999_900_000, "999.9 MB"), (10**9, "1.0 GB"), (10**13, "10000.0 GB")],
)
def test_a_size_is_in_megabytes_or_gigabytes(size: int, said: str) -> None:
    assert said == megabytes(size)


@dataclass
class Late:
    """When a report came, and whether that is late."""

    ago: float
    health: str


@pytest.mark.parametrize("case", [Late(0, HEALTHY), Late(599, HEALTHY), Late(601, LATE)], ids=repr)
def test_it_is_late_after_two_intervals_without_a_report_of_any_thing(site: Site, case: Late) -> None:
    site.run()
    site.report("rpi-1", case.ago)
    assert case.health == site.health().health


def test_the_health_of_several_is_an_array_also_when_one_could_not_be_asked() -> None:
    one = found()
    assert "healthy" == json.loads("".join(as_json([one], 1)))["health"]
    assert ["healthy"] == [each["health"] for each in json.loads("".join(as_json([one], 2)))]
    assert [] == json.loads("".join(as_json([], 2)))


def test_certificates_that_are_missing_or_none_are_not_known(tmp_path: Any) -> None:
    (tmp_path / "x.pem").write_text("none")
    authentication = msgspec.structs.replace(
        Config().agent.authentication, certificate=str(tmp_path / "x.pem"), root_ca=str(tmp_path / "none.pem")
    )
    agent = msgspec.structs.replace(Config().agent, authentication=authentication)
    assert Certificates(None, None) == certificates_of(Config()) == certificates_of(Config(agent=agent))

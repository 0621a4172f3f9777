"""`--doctor` and `--status` find what is wrong with Detect, whether it runs or not, and say what to do."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("paho.mqtt")

from defender_daemon.health import HEALTHY, LATE, NOT_RUNNING
from defender_daemon.ladder import DOUBT, FAIL, NOT_TRIED, OK, Step
from defender_daemon.status import LastErrorHandler, StatusError
from defender_detect import doctor, health, reminder
from defender_detect.alerts.alerts import Alerts
from defender_detect.authority import things
from defender_detect.authority.directory import Directory
from defender_detect.authority.things import Wanted
from defender_detect.config import Config
from defender_detect.config_file import read_config
from defender_detect.daemon import note_errors
from defender_detect.errors import DetectError
from defender_detect.evaluate.detector import Rules
from defender_detect.receive.endpoint import Endpoint
from defender_detect.service import Service
from defender_detect.status import StatusFile, open_status, read_status
from defender_detect.store.store import Store
from demo.authority import Authority
from tests.detect.authority.home import LOCAL, NO_PHRASE, make

DAY = 86_400.0


class Site:
    """A directory that `init` made, and what a Detect writes that runs there."""

    def __init__(self, path: Path) -> None:
        self.directory, self.now = Directory(path / "home"), time.time()
        make(self.directory.path, LOCAL, datetime.now(timezone.utc))
        self.state = self.directory.path / "state"
        self.store: Store | None = None

    @property
    def config(self) -> Config:
        return read_config(self.directory.config, {})

    def change(self, section: str, **keys: object) -> None:
        raw = json.loads(self.directory.config.read_text())
        raw[section].update(keys)
        self.directory.config.write_text(json.dumps(raw))

    def run(self, connected: bool = True, **seen: object) -> StatusFile:
        """Hold the lock and write the status, as a Detect that runs."""
        self.store = Store(self.state, DAY, DAY)
        status = open_status(self.config, self.directory.config, Endpoint("127.0.0.1", 18883))
        status.look(connected, profiles=1, behaviors=2, **seen)
        return status

    def end(self) -> None:
        if self.store is not None:
            self.store.close()
            self.store = None

    def report(self, thing: str, ago: float) -> None:
        assert self.store is not None
        self.store.add(thing, self.now - ago, {"aws:all-bytes-in": 1}, report_id=7)
        self.store.flush()

    def health(self) -> health.Health:
        return health.examine(self.config, self.now)

    def said(self) -> str:
        return "\n".join(health.describe(self.health(), self.config))

    def steps(self, now: float | None = None) -> dict[str, Step]:
        case = doctor.Case(self.directory.config, {}, lambda: now or self.now)
        return {step.rung: step for step in doctor.examine(case)}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.end()


def test_before_a_first_run_it_is_not_running(site):
    assert site.health().health == NOT_RUNNING
    assert "no Detect has written a status into" in site.said()
    assert "next step      amazon-defender-detect doctor" in site.said()


def test_it_is_healthy_while_it_hears_its_broker(site, monkeypatch):
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


def test_it_is_late_while_it_hears_no_broker(site):
    site.run(connected=False)
    assert site.health().health == LATE
    assert "NOT heard for" in site.said()
    assert f"next step      amazon-defender-detect doctor {site.directory.config}" in site.said()


def test_it_is_late_when_no_thing_reports_any_more_and_one_that_is_gone_for_days_is_not_expected(site):
    site.run()
    site.report("cam-2", 3 * DAY)
    assert site.health().health == HEALTHY
    site.report("cam-1", 1000)
    found = site.health()
    assert (found.health, found.silent, found.things) == (LATE, ["cam-1"], 1)
    assert "1 reported within two days; silent for over 15 minutes: cam-1" in site.said()


def test_it_is_late_when_its_main_loop_hangs(site):
    site.run()
    site.now += health.HANGS_AFTER + 61
    assert site.health().health == LATE


def test_it_is_not_running_once_it_has_ended(site):
    site.run()
    site.end()
    assert site.health().health == NOT_RUNNING
    assert "and has ended" in site.said()


def test_a_configuration_that_has_changed_is_said_and_what_systemd_hands_over_is_no_change(site):
    site.run()
    assert not site.health().config_changed
    same = read_config(site.directory.config, {"private_key": "/run/credentials/detect.key", "state_directory": "/x"})
    assert health.config_hash(same) == health.config_hash(site.config)
    site.change("detect", metrics_days=3)
    assert site.health().config_changed
    assert "has changed since, or options override it; kill -HUP" in site.said()


def test_the_health_is_json_for_a_program(site):
    site.run()
    from defender_daemon.health import as_json

    found = json.loads("\n".join(as_json(site.health())))
    assert found["health"] == "healthy"
    assert found["status"]["connection"]["built_in"] is True


def test_without_a_state_directory_nobody_can_see_its_health(site):
    site.change("agent", state_directory=None)
    with pytest.raises(DetectError, match="agent.state_directory is missing"):
        site.health()


def test_a_damaged_status_is_a_sentence(site):
    site.run()
    (site.state / "status.json").write_text("{")
    with pytest.raises(StatusError, match="is damaged"):
        read_status(site.state)


def test_the_last_error_is_in_the_status_and_an_alarm_is_none(site):
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
    assert read_status(site.state).last_error.text == "no connection"


def test_alerts_that_wait_are_counted_by_whom_they_are_for():
    class Queue(list):
        def __init__(self, name, waiting):
            super().__init__(range(waiting))
            self.name = name

    alerts = Alerts(())
    alerts.queues[:] = [Queue("the webhook at https://h", 3), Queue("the command logger", 0)]
    assert Service(Rules([], {}), None, alerts).alerts_waiting == {"the webhook at https://h": 3}


def test_a_flood_of_warnings_writes_no_file(site):
    status = site.run()
    before = (site.state / "status.json").stat().st_mtime_ns
    for number in range(100):
        status.note_error(f"warning {number}")
    assert (site.state / "status.json").stat().st_mtime_ns == before


def test_the_doctor_says_what_holds_up_to_a_detect_that_is_not_running(site):
    steps = site.steps()
    assert [name for name, step in steps.items() if step.verdict == FAIL] == ["running"]
    assert "start it: sudo systemctl start amazon-defender-detect" in steps["running"].advice
    assert steps["profiles"].says == "2 with 1 behavior"
    assert steps["things' certificates"].says == "0 things with one, and none ends soon"
    assert steps["broker"].verdict == NOT_TRIED


def test_the_doctor_says_that_the_broker_does_not_answer(site):
    site.run()
    step = site.steps()["broker"]
    assert (step.verdict, step.says) == (FAIL, "127.0.0.1:18883: Connection refused")


@pytest.mark.parametrize(
    ("rung", "verdict", "change", "says"),
    [
        ("config", FAIL, lambda site: site.directory.config.write_text("{"), "must be JSON in UTF-8"),
        ("config", FAIL, lambda site: site.change("agent", authentication={}), "--root-ca is missing"),
        ("profiles", DOUBT, lambda site: site.change("detect", profiles=[]), "nothing is evaluated or kept"),
        (
            "profiles",
            OK,
            lambda site: (site.directory.profiles / "silence.json").unlink(),
            "1 with 0 behaviors: values are kept, and nothing raises an alarm yet",
        ),
        ("profiles", FAIL, lambda site: (site.directory.profiles / "x.json").write_text("{}"), "securityProfileName"),
        ("key and certificate", FAIL, lambda site: site.directory.key.unlink(), "must be a readable file"),
        ("key and certificate", FAIL, lambda site: site.directory.key.chmod(0o644), "readable by its owner only"),
        ("things' certificates", NOT_TRIED, lambda site: site.directory.record.unlink(), "not known here"),
        ("disk", DOUBT, lambda site: site.change("agent", state_directory=None), "a restart forgets all alarms"),
    ],
)
def test_the_doctor_finds_what_is_wrong_with_a_configuration(site, rung, verdict, change, says):
    change(site)
    step = site.steps()[rung]
    assert step.verdict == verdict
    assert says in step.says


def test_the_doctor_finds_an_alert_target_that_cannot_be_opened(site, monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    arn = "arn:aws:sns:eu-west-1:123456789012:alarms"
    site.change("detect", alerts=[{"type": "sns", "topic_arn": arn}])
    step = site.steps()["alert targets"]
    assert (step.verdict, "alerts to SNS need boto3" in step.says) == (FAIL, True)


def test_the_doctor_warns_weeks_before_a_certificate_ends(site, tmp_path):
    bundle = tmp_path / "rpi-0001.tar"
    list(things.add(site.directory, Wanted("rpi-0001", 1, bundle), datetime.now(timezone.utc), NO_PHRASE))
    record = json.loads(site.directory.record.read_text())
    record["certificates"][0]["issued"] -= 365 * 86_400
    record["certificates"][0]["ends"] = int(site.now + 20.5 * DAY)
    site.directory.record.write_text(json.dumps(record))
    step = site.steps()["things' certificates"]
    assert step.verdict == DOUBT
    assert step.says == "the certificate of rpi-0001 ends in 20 days: run amazon-defender-detect renew rpi-0001"
    late = site.steps(site.now + 3640 * DAY)["valid today"]
    assert late.verdict == DOUBT
    assert "renew --server" in late.advice
    assert site.steps(site.now + 3700 * DAY)["valid today"].verdict == FAIL


def test_the_doctor_says_alerts_that_wait_and_things_that_are_silent(site, monkeypatch):
    monkeypatch.setattr(doctor, "RUNGS", tuple(each for each in doctor.RUNGS if each.name != "broker"))
    site.run(waiting={"the webhook at https://h": 3})
    site.report("cam-1", 2000)
    site.report("rpi-0001", 10)
    steps = site.steps()
    assert (steps["connection"].verdict, steps["alerts"].verdict, steps["reports"].verdict) == (OK, DOUBT, DOUBT)
    assert steps["alerts"].says == "waiting: 3 for the webhook at https://h"
    assert "the last one of rpi-0001, 0:00:10 ago; silent 1 of 2: cam-1" == steps["reports"].says


def test_the_log_reminds_once_a_day_of_a_certificate_that_ends_soon(tmp_path, caplog):
    authority = Authority(tmp_path / "ca")
    now = datetime.now(timezone.utc)
    soon = authority.issue("detect", ["localhost"], now - timedelta(days=99), now + timedelta(days=30, hours=1))
    later = authority.issue("other", ["localhost"])
    reminding = reminder.Reminder([soon.certificate, later.certificate, authority.certificate])  # which lasts a day
    for hours in (0, 1, 23):
        reminding.look(now.timestamp() + hours * 3600)
    (line,) = (each.getMessage() for each in caplog.records)
    assert line.startswith(f"the certificate {soon.certificate} is valid for 30 days more, until")
    reminding.look(now.timestamp() + 25 * 3600)
    assert len(caplog.records) == 3  # and the authority that was for a day has ended
    assert "has ended" in reminder.ends_soon(soon.certificate, now.timestamp() + 31 * DAY)

"""`--doctor` and `--status` find what is wrong with Detect, whether it runs or not, and say what to do."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

pytest.importorskip("cryptography")
pytest.importorskip("paho.mqtt")

from defender_daemon.ladder import DOUBT, FAIL, NOT_TRIED, OK, Step
from defender_detect import doctor, health
from defender_detect.alerts.alerts import Alerts
from defender_detect.authority import things
from defender_detect.authority.directory import Directory
from defender_detect.authority.things import Wanted
from defender_detect.config import Config
from defender_detect.config_file import read_config
from defender_detect.evaluate.detector import Rules
from defender_detect.receive.endpoint import Endpoint
from defender_detect.service import Service
from defender_detect.status import StatusFile, open_status
from defender_detect.store.store import Store
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


def test_alerts_that_wait_are_counted_by_whom_they_are_for():
    class Queue(list):
        def __init__(self, name, waiting):
            super().__init__(range(waiting))
            self.name = name

    alerts = Alerts(())
    alerts.queues[:] = [Queue("the webhook at https://h", 3), Queue("the command logger", 0)]
    assert Service(Rules([], {}), None, alerts).alerts_waiting == {"the webhook at https://h": 3}


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

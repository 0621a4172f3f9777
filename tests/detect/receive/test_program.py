"""Detect with its built-in broker as a program: who is shut out, who hears alerts, and a log that nobody reads."""

from __future__ import annotations

import json
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO, Any

import pytest

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
if sys.version_info < (3, 10):
    pytest.skip("amqtt needs Python 3.10 or later", allow_module_level=True)
pytest.importorskip("amqtt")

from defender_detect.receive.credentials import Credentials
from defender_detect.receive.endpoint import Endpoint
from demo.authority import Authority
from tests.detect.receive.raw_client import CONNACK, HOST, PATIENCE, RawClient, connect, publish, subscribe
from tests.detect.receive.test_receiver import credentials_of
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent.parent
SCRIPT = ROOT / "amazon-defender-detect"
READY = re.compile(r"is ready on \S+:(\d+): ")
ALERTS = "alerts/defender"
VICTIM = "$aws/things/victim/defender/metrics/json"
PROFILE = {
    "securityProfileName": "ports",
    "behaviors": [
        {
            "name": "few",
            "metric": "aws:num-listening-tcp-ports",
            "criteria": {"comparisonOperator": "less-than", "value": {"count": 100}},
        }
    ],
}


def report(number: int, ports: int = 1, **custom: Any) -> bytes:
    metrics = {"listening_tcp_ports": {"ports": [{"port": 22}], "total": ports}}
    header = {"report_id": number, "version": "1.0"}
    return json.dumps({"header": header, "metrics": metrics, **custom}).encode()


class Site:
    """A directory with what Detect needs, and Detect in it."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        self.directory, self._authority = directory, authority
        files = authority.issue("detect", ["localhost", HOST])
        self._own: dict[str, Credentials] = {}
        (directory / "profile.json").write_text(json.dumps(PROFILE))
        (directory / "authority.pem").write_bytes(authority.certificate.read_bytes())
        authentication = {
            "port": 0,
            "root_ca": "authority.pem",
            "certificate": str(files.certificate),
            "private_key": str(files.private_key),
        }
        self.agent: dict[str, Any] = {"authentication": authentication, "embedded_broker": True, "minimum_interval": 0}
        self.alerts: list[dict[str, Any]] = []
        self.process: subprocess.Popen[str] | None = None

    def command(self) -> list[str]:
        """Write the configuration, and return how to run Detect with it."""
        detect = {"profiles": ["profile.json"], "alerts": self.alerts}
        (self.directory / "detect.json").write_text(json.dumps({"agent": self.agent, "detect": detect}))
        return [sys.executable, str(SCRIPT), str(self.directory / "detect.json")]

    def start(self, **options: Any) -> IO[str]:
        """Run Detect until it is ready; return its log from there on."""
        self.process = subprocess.Popen(self.command(), stderr=subprocess.PIPE, text=True, **options)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := READY.search(line):
                self.endpoint = Endpoint(HOST, int(found[1]))
                break
        return self.process.stderr

    def stranger(self, name: str) -> RawClient:
        if name not in self._own:
            self._own[name] = credentials_of(self._authority, self._authority.issue(name))
        return RawClient(self.endpoint, self._own[name])

    def client(self, name: str) -> RawClient:
        return self.stranger(name).connect(name)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def site(tmp_path: Path, authority: Authority) -> Iterator[Site]:
    site = Site(tmp_path, authority)
    yield site
    if site.process is not None:
        site.process.kill()
        site.process.communicate()


def verdict(thing: RawClient, number: int, **more: Any) -> str:
    """Report, and return what Detect says to it."""
    thing.send(publish(VICTIM, report(number, **more)))
    for first, body in thing.packets():
        if first == 0x30:
            return body[2 : 2 + body[1]].decode().rpartition("/")[2]
    return "hung up"


def test_a_log_that_nobody_reads_costs_no_report(site: Site) -> None:
    site.agent["debug"] = True
    site.start()
    thing = site.client("victim")
    assert (0x90, b"\0\x07\0") == thing.send(subscribe(f"{VICTIM}/+")).read()
    filler = {"custom_metrics": {"filler": [{"string_list": ["x" * 1_000]}]}}
    assert {"accepted"} == {verdict(thing, number, **filler) for number in range(1, 300)}  # 600 KB of log


def test_alerts_are_heard_by_who_is_named_in_the_configuration(site: Site) -> None:
    site.alerts = [{"type": "topic", "topic": ALERTS, "readers": ["dashboard"]}]
    site.start()
    thing, evil, dashboard = map(site.client, ("victim", "evil", "dashboard"))
    for each in (evil, dashboard):
        assert 0x90 == each.send(subscribe("alerts/#", "#")).read()[0]  # type: ignore[index]
    thing.send(subscribe(f"{VICTIM}/+")).read()
    assert "accepted" == verdict(thing, 1, ports=500)
    first, body = dashboard.read()  # type: ignore[misc]
    assert (0x30, True) == (first, b'"violationId"' in body)
    assert [] == evil.heard()
    assert evil.send(publish(ALERTS, b"forged")).is_closed()


@pytest.mark.parametrize("setting", [None, "elsewhere.txt"])
def test_the_list_of_who_is_shut_out_is_beside_the_root_ca_or_where_it_is_set(setting: str | None, site: Site) -> None:
    path = site.directory / (setting or "revoked.txt")
    path.write_text("thing evil\n")
    if setting is not None:
        site.agent["authentication"]["revoked"] = setting
    log = site.start()
    assert site.stranger("evil").is_closed()
    assert "'evil' (certificate " in (line := next(log))
    assert line.endswith("): is shut out: connection closed\n")
    victim = site.client("victim")
    path.write_text("thing evil\nthing victim\n")
    assert victim.is_closed()


def test_a_list_of_who_is_shut_out_that_is_wrong_is_said_at_the_start(site: Site) -> None:
    (site.directory / "revoked.txt").write_text("evil\n")
    ended = subprocess.run(site.command(), capture_output=True, text=True, timeout=PATIENCE)
    assert 78 == ended.returncode
    assert ended.stderr.endswith("revoked.txt, line 1: must be `thing NAME` or `serial HEX`, got 'evil'\n")
    assert 1 == ended.stderr.count("\n")


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))


def test_when_no_more_files_can_be_opened_those_without_a_certificate_go_first(site: Site) -> None:
    log = site.start(preexec_fn=few_files)
    held = []
    for _ in range(300):
        held.append(socket.create_connection((HOST, site.endpoint.port), PATIENCE))
    evil = [site.stranger("evil") for _ in range(50)]
    thing = site.client("victim")
    thing.send(subscribe(f"{VICTIM}/+")).read()
    assert "accepted" == verdict(thing, 1)
    assert evil[0].is_closed()
    assert site.process is not None
    site.process.terminate()
    lines = log.read().splitlines()
    assert len(lines) < 10
    assert [] == [line for line in lines if "Traceback" in line or "Too many open files" in line]
    for each in held:
        each.close()


FORGED = "x\n2026-11-30 09:00:00,000 WARNING victim: alarm-cleared: FORGED\x1b[31m\x9b\u202e"


def test_every_line_of_the_log_is_one_of_ours(site: Site) -> None:
    log = site.start()
    for said in (connect(FORGED) + b"\xf0\0", connect("e") + publish(FORGED), connect("e", will=(FORGED, b""))):
        list(site.stranger("evil").send(said).packets())
    assert wait_until(lambda: CONNACK == site.stranger("evil").send(connect("e")).read(), PATIENCE)
    assert site.process is not None
    site.process.terminate()
    lines = log.read().splitlines()
    assert lines
    assert [] == [line for line in lines if not re.match(r"\d{4}-\d\d-\d\d ", line) or not line.isprintable()]
    assert [] == [line for line in lines if line.startswith("2026-11-30 09:00:00,000")]


def test_the_log_says_whose_certificate_ends_soon(site, authority):
    log = site.start()
    now = datetime.now(timezone.utc)
    files = authority.issue("rpi-0007", (), now - timedelta(days=365), now + timedelta(days=20, hours=1))
    credentials = credentials_of(authority, files)
    client = RawClient(site.endpoint, credentials).connect("rpi-0007")
    said = next(line for line in log if "its certificate ends" in line)
    assert "WARNING 'rpi-0007' (certificate " in said
    assert "its certificate ends in 20 days: issue another one (amazon-defender-detect renew THING)" in said
    client.vanish()

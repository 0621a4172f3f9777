"""Detect as a whole, from a configuration: alarms, their end after a restart, who is told, and what can be asked."""

from __future__ import annotations

import http.server
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
pytest.importorskip("rich")
pytest.importorskip("msgspec")

import cbor2

from defender_detect.alerts.alerts import Alerts
from defender_detect.errors import AlertRefused
from defender_detect.evaluate.alarms import Event
from defender_detect.evaluate.detector import Attachment, Rules
from defender_detect.judge.reading import read_report
from defender_detect.judge.topics import ReportTopic
from defender_detect.judge.verdict import Accepted, Rejected
from defender_detect.profiles import read_profile
from defender_detect.service import Service
from defender_detect.store.reader import Reader
from defender_detect.store.store import Store
from demo.authority import Authority, Files
from tests.detect.receive.test_receiver import HOST, MOSQUITTO, PATIENCE, Mosquitto, Thing, credentials_of
from tests.detect.test_script import ROOT, SCRIPT, WRONG_CONFIGURATION, Program, run, run_here
from tests.waiting import FOR_EVER, wait_until

OPEN_ACL = (
    "user detect\ntopic readwrite #\ntopic readwrite $aws/things/#\npattern readwrite $aws/things/%u/defender/#\n"
)
OPEN_ACL += "pattern readwrite fleet/%u/#\nuser thing\ntopic read alarms/#\n"
SENDER = """import json, pathlib, sys
with open(sys.argv[1], "a") as file:
    file.write(json.dumps(json.load(sys.stdin)) + "\\n")
"""


def profile(name: str = "cpu", most: float = 50, metric: str = "cpu_usage", **criteria: Any) -> dict[str, Any]:
    criteria = {"comparisonOperator": "less-than-equals", "value": {"number": most}, **criteria}
    return {
        "securityProfileName": name,
        "behaviors": [{"name": "idle", "metric": metric, "criteria": criteria}],
    }


def report(report_id: int, cpu: float) -> dict[str, Any]:
    header = {"report_id": report_id, "version": "1.0"}
    ports = {"ports": [{"port": 22}], "total": 1}
    metrics = {"listening_tcp_ports": ports}
    return {"header": header, "metrics": metrics, "custom_metrics": {"cpu_usage": [{"number": cpu}]}}


def encoded(report_id: int, cpu: float) -> bytes:
    return json.dumps(report(report_id, cpu)).encode()


def test_what_was_restored_is_kept_from_the_garbage_collector(tmp_path: Path) -> None:
    """A full collection looks at each of its objects, and holds reports up meanwhile."""
    code = (
        "import gc; from defender_detect.service import Service; from defender_detect.alerts.alerts import Alerts\n"
        "from defender_detect.evaluate.detector import Rules\n"
        "service = Service(Rules([]), None, Alerts([])); before = gc.get_freeze_count()\n"
        "service.restore(lambda *_: None)\n"
        "print(before, gc.get_freeze_count() > 10_000, len(gc.get_objects(2)) < 1_000)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "0 True True\n" == done.stdout


class Setup:
    """A broker, and Detect's configuration for it, with a profile `cpu` that calls more than 50 an alarm."""

    def __init__(self, directory: Path, authority: Authority, server: Files) -> None:
        self.directory, self.authority = directory, authority
        self.broker = Mosquitto(directory, authority, server)
        (directory / "acl").write_text(OPEN_ACL)
        self.broker.stop()
        self.broker.start()
        self.files = server
        self.programs: list[Program] = []
        self.profile(profile())
        self.path = self.write()

    def profile(self, document: Any) -> None:
        (self.directory / "cpu.json").write_text(document if isinstance(document, str) else json.dumps(document))

    def write(self, agent: Any = None, detect: Any = None) -> Path:
        authentication = {
            "endpoint": HOST,
            "port": self.broker.endpoint.port,
            "root_ca": str(self.authority.certificate),
            "certificate": str(self.files.certificate),
            "private_key": str(self.files.private_key),
        }
        defaults = {"authentication": authentication, "state_directory": "state", "minimum_interval": 0}
        path = self.directory / "detect.json"
        document = {"agent": {**defaults, **(agent or {})}, "detect": {"profiles": ["cpu.json"], **(detect or {})}}
        path.write_text(json.dumps(document))
        return path

    def start(self) -> Program:
        self.programs.append(Program(str(self.path)))
        self.programs[-1].ready()
        return self.programs[-1]

    def thing(self, name: str = "thing") -> Thing:
        return Thing(self.broker.endpoint, credentials_of(self.authority, self.authority.issue(name)), name)

    def ask(self, *question: str) -> Any:
        ended = run_here(*question, str(self.path), "--json")
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    def active(self) -> list[str]:
        """Return the ids of the alarms that are on, as soon as one is."""
        return self.wait_for(
            lambda: [each["violationId"] for each in self.ask("violations", "--active")["activeViolations"]]
        )

    def wait_for(self, find: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = find()
            if found:
                return found
            time.sleep(0.1)
        pytest.fail("it did not come")

    def stop(self) -> None:
        for program in self.programs:
            program.process.kill()
            program.process.wait()
            program.process.stderr.close()
        self.broker.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Files:
    return authority.issue("detect", ["localhost", HOST])


@pytest.fixture
def setup(tmp_path: Path, authority: Authority, server: Files) -> Iterator[Setup]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    made = Setup(tmp_path, authority, server)
    yield made
    made.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_alarm_and_its_throttling_go_on_after_a_restart(number: int, setup: Setup) -> None:
    setup.write({"minimum_interval": FOR_EVER})
    program = setup.start()
    thing = setup.thing().listen()
    assert thing.ask(encoded(1, 90))[0] == "accepted"
    program.wait_for(r"WARNING thing: in-alarm: cpu_usage is 90, normal is at most 50 \(idle of cpu\)$")
    before = setup.active()
    program.end(number)
    program = setup.start()
    assert setup.ask("violations", "--active")["activeViolations"][0]["violationId"] == before[0]
    assert thing.ask(encoded(2, 1))[1]["statusDetails"]["ErrorCode"] == "Throttled"
    program.end(number)
    setup.write()
    program = setup.start()
    assert thing.ask(encoded(3, 1))[0] == "accepted"
    program.wait_for(r"INFO thing: alarm-cleared: .* \(idle of cpu\)$")
    assert program.end() == 0
    events = setup.ask("violations")["violationEvents"]
    assert [(each["violationEventType"], each["violationId"]) for each in events] == [
        ("alarm-cleared", before[0]),
        ("in-alarm", before[0]),
    ]
    assert setup.ask("violations", "--active") == {"activeViolations": []}
    thing.leave()


def test_sighup_reads_the_profiles_again_and_keeps_the_old_ones_if_the_new_are_wrong(setup: Setup) -> None:
    program = setup.start()
    thing = setup.thing().listen()
    for wrong in ("{", json.dumps(profile(metric="aws:num-messages-sent"))):
        setup.profile(wrong)
        program.process.send_signal(signal.SIGHUP)
        program.wait_for(r"ERROR keeping the current profiles and groups; the new ones are invalid: .*cpu.json")
    thing.ask(encoded(1, 60))
    program.wait_for(r"in-alarm: cpu_usage is 60, normal is at most 50 \(idle of cpu\)$")
    setup.profile(profile(most=70))
    program.process.send_signal(signal.SIGHUP)
    program.wait_for("INFO security profiles in force from now on: 1; whatever else changed needs a restart$")
    thing.ask(encoded(2, 60))
    program.wait_for(r"alarm-cleared: cpu_usage is 60, which is normal again \(at most 70\) \(idle of cpu\)$")
    assert program.end() == 0
    thing.leave()


class Webhook(http.server.BaseHTTPRequestHandler):
    """A webhook that keeps what it is told."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.told.put((self.headers["X-Token"], json.loads(body)))  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def webhook() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer((HOST, 0), Webhook)
    server.told = queue.Queue()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_alarm_goes_to_a_topic_a_webhook_and_a_command(
    setup: Setup, webhook: http.server.ThreadingHTTPServer
) -> None:
    kept = setup.directory / "told"
    (setup.directory / "sender.py").write_text(SENDER)
    alerts = [
        {"type": "log"},
        {"type": "topic", "topic": "alarms/all"},
        {"type": "webhook", "url": f"http://{HOST}:{webhook.server_port}/x", "headers": {"X-Token": "t"}},
        {"type": "command", "command": [sys.executable, str(setup.directory / "sender.py"), str(kept)]},
    ]
    setup.write(detect={"alerts": alerts})
    program = setup.start()
    thing = setup.thing().listen()
    assert thing.subscribe("alarms/all")
    before = time.time()
    thing.publish(encoded(1, 90))
    replies = dict(thing.replies.get(timeout=PATIENCE) for _ in range(2))
    token, posted = webhook.told.get(timeout=PATIENCE)  # type: ignore[attr-defined]
    assert token == "t"
    commanded = setup.wait_for(lambda: kept.exists() and kept.read_text())
    assert replies["all"] == posted == json.loads(commanded)
    assert {key: posted[key] for key in ("thingName", "securityProfileName", "violationEventType", "metricValue")} == {
        "thingName": "thing",
        "securityProfileName": "cpu",
        "violationEventType": "in-alarm",
        "metricValue": {"number": 90},
    }
    assert before * 1000 <= posted["violationEventTime"] + 1 <= time.time() * 1000 + 1
    assert program.end() == 0
    thing.leave()


def test_home_assistant_finds_a_thing_at_the_broker_whenever_it_comes(setup: Setup) -> None:
    target = {"type": "home_assistant", "discovery_prefix": "alarms/ha", "topic": "alarms/states"}
    setup.write(detect={"alerts": [target]})
    program = setup.start()
    thing = setup.thing().listen()
    assert thing.ask(encoded(1, 90))[0] == "accepted"
    setup.active()
    retained: dict[str, Any] = {}
    thing.client.on_message = lambda _client, _data, message: retained.update({message.topic: message.payload})
    assert thing.subscribe("alarms/#")
    state = "alarms/states/thing/state"
    found = setup.wait_for(lambda: b'"ON"' in retained.get(state, b"") and json.loads(retained[state]))
    assert {"alarms": {"cpu/idle": "ON"}, "numbers": {"cpu_usage": 90}} == found
    device = json.loads(setup.wait_for(lambda: retained.get("alarms/ha/device/thing/config")))
    assert "thing" == device["device"]["name"]
    assert program.end() == 0
    thing.leave()


def test_alerts_that_wait_survive_a_kill(setup: Setup) -> None:
    down, told, tried = (setup.directory / name for name in ("down", "told", "tried"))
    down.touch()
    script = f"cat >> {tried}; [ ! -e {down} ] && cp {tried} {told}"
    setup.write(detect={"alerts": [{"type": "command", "command": ["sh", "-c", script]}], "group_seconds": 0.5})
    program = setup.start()
    things = [setup.thing(name).listen() for name in ("thing", "other")]
    for number, thing in enumerate(things):
        assert thing.ask(encoded(number + 1, 90))[0] == "accepted"
    setup.wait_for(lambda: len(setup.ask("violations", "--active")["activeViolations"]) == 2)
    setup.wait_for(tried.exists)
    setup.wait_for((setup.directory / "state" / "alerts.json").exists)
    program.end(signal.SIGKILL)
    down.unlink()
    tried.write_text("")
    program = setup.start()
    found = setup.wait_for(lambda: told.exists() and told.read_text().count("violationId") == 2 and told.read_text())
    assert '"thingName": "thing"' in found
    assert '"thingName": "other"' in found
    assert program.end() == 0
    for thing in things:
        thing.leave()


@pytest.mark.parametrize("encode", [lambda each: json.dumps(each).encode(), cbor2.dumps], ids=["JSON", "CBOR"])
def test_reports_on_a_topic_of_ones_own_are_answered_beside_it(encode: Callable[[Any], bytes], setup: Setup) -> None:
    setup.write({"topic": "fleet/{thing_name}/reports"})
    program = setup.start()
    thing = setup.thing()
    replies: queue.Queue[tuple[str, bytes]] = queue.Queue()
    thing.client.on_message = lambda _client, _data, message: replies.put((message.topic, message.payload))
    assert thing.subscribe("fleet/thing/reports/+")
    decode = json.loads if encode is not cbor2.dumps else cbor2.loads
    for document, verdict in ((report(1, 90), "accepted"), ({"header": {}}, "rejected")):
        thing.publish(encode(document), "fleet/thing/reports")
        topic, payload = replies.get(timeout=PATIENCE)
        assert topic == f"fleet/thing/reports/{verdict}"
        assert decode(payload)["status"] == verdict.upper()
    program.wait_for(r"thing: in-alarm: .*\(idle of cpu\)")
    assert program.end() == 0
    thing.leave()


@pytest.mark.parametrize("form", ["json", "cbor"])
def test_the_publisher_reports_on_a_topic_of_its_own(
    form: str, setup: Setup, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    topic = "fleet/{thing_name}/reports"
    setup.write({"topic": topic})
    program = setup.start()
    files = setup.authority.issue("rpi-0001")
    authentication = {
        "endpoint": "localhost",
        "port": setup.broker.endpoint.port,
        "root_ca": str(setup.authority.certificate),
        "certificate": str(files.certificate),
        "private_key": str(files.private_key),
    }
    config = write_config(
        0, authentication=authentication, topic=topic, format=form, state_directory=str(tmp_path / "publisher")
    )
    command = [sys.executable, str(ROOT / "amazon-defender-publisher"), "--once", str(config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "accepted after" in ended.stdout + ended.stderr
    assert ended.returncode == 0
    assert program.end() == 0
    assert [each["thingName"] for each in setup.ask("things")["things"]] == ["rpi-0001"]


def test_what_is_kept_can_be_asked_while_detect_runs(setup: Setup) -> None:
    program = setup.start()
    thing = setup.thing().listen()
    for number, cpu in ((1, 10), (2, 90)):
        assert thing.ask(encoded(number, cpu))[0] == "accepted"
    setup.active()
    path = str(setup.path)
    assert [each["lastReportId"] for each in setup.ask("things")["things"]] == [2]
    data = setup.ask("metrics", "thing", "cpu_usage")["metricDatumList"]
    assert [each["value"] for each in data] == [{"number": 10}, {"number": 90}]
    tables = {
        ("violations",): "TIME ",
        ("violations", "--active"): "THING ",
        ("metrics", "thing", "cpu_usage"): "",
        ("things",): "THING ",
    }
    for question, start in tables.items():
        ended = run_here(*question, path)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.startswith(start)
        assert ended.stdout.endswith("\n")
        assert not ended.stdout.endswith("\n\n")
    old = run("metrics", "thing", "cpu_usage", path, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert old.returncode == 0
    wrong = {
        ("metrics", "thing", "cpu_usge"): "cpu_usge is not kept of thing: did you mean cpu_usage?",
        ("metrics", "thin", "cpu_usage"): "nothing is kept of the thing thin: did you mean thing?",
        ("violations", "--thing", "thin"): "nothing is kept of the thing thin: did you mean thing?",
    }
    for question, message in wrong.items():
        ended = run_here(*question, path)
        assert (ended.returncode, ended.stdout) == (WRONG_CONFIGURATION, "")
        assert ended.stderr == f"amazon-defender-detect: {message}\n"
    second = run(path)
    assert second.returncode == WRONG_CONFIGURATION
    assert "another amazon-defender-detect" in second.stderr
    assert program.end() == 0
    thing.leave()


def test_a_state_directory_that_may_not_be_read_is_said(elsewhere: Path, unprivileged: int) -> None:
    directory = elsewhere / "state"
    Store(directory).close()
    as_nobody = ("setpriv", f"--reuid={unprivileged}", "--clear-groups", sys.executable, str(SCRIPT))
    ended = run("things", "--state-directory", str(directory), command=as_nobody)
    if "amazon-defender-detect: " not in ended.stderr:
        pytest.skip("another user cannot run this Python")
    assert ended.returncode == WRONG_CONFIGURATION
    assert "may not be looked into: ask as the user that Detect runs as" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_where_there_is_no_state_it_is_said(tmp_path: Path) -> None:
    nothing = run_here("things", "--state-directory", str(tmp_path / "x"))
    assert nothing.returncode == WRONG_CONFIGURATION
    assert nothing.stderr.startswith(f"amazon-defender-detect: nothing is kept in {tmp_path / 'x'}: ")
    unsaid = run("things", env={key: value for key, value in os.environ.items() if key != "STATE_DIRECTORY"})
    assert unsaid.returncode == WRONG_CONFIGURATION
    assert "give Detect's CONFIG with agent.state_directory, or --state-directory" in unsaid.stderr
    by_systemd = run("things", env={**os.environ, "STATE_DIRECTORY": str(tmp_path / "y")})
    assert f"nothing is kept in {tmp_path / 'y'}" in by_systemd.stderr


def test_the_percentiles_of_all_things_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    document = profile(durationSeconds=300, metric="aws:num-listening-tcp-ports")
    criteria = document["behaviors"][0]["criteria"]
    del criteria["value"]
    criteria["statisticalThreshold"] = {"statistic": "p50"}
    path.write_text(json.dumps(document))
    start = 300 * 5_000_000.0

    def service() -> tuple[Service, list[Any]]:
        made = Service(Rules([Attachment(read_profile(path))]), Store(tmp_path / "state"), Alerts(to_log=False))
        told: list[Any] = []
        made._alerts.tell = told.append  # type: ignore[method-assign]
        return made, told

    def accepted(thing: str, ports: int) -> Accepted:
        body = {"header": {"report_id": 1, "version": "1.0"}, "metrics": {"listening_tcp_ports": {"total": ports}}}
        return Accepted(ReportTopic(thing, "json"), 1, 0, read_report(body).report)

    first, _ = service()
    first.restore(lambda *_: None)
    for number in range(10):
        first.accept(accepted(f"thing-{number}", 3), start + number)
    first.close(start + 20)
    second, told = service()
    second.restore(lambda *_: None)
    second.accept(accepted("thing-0", 3), start + 331)
    second.accept(accepted("thing-1", 4), start + 332)
    second.close(start + 333)
    assert [(event.thing, event.type) for event in told] == [("thing-1", "in-alarm")]


def test_an_alarm_whose_behavior_is_gone_after_a_restart_is_invalid(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(profile(metric="aws:num-listening-tcp-ports", value={"count": 1})))
    body = {"header": {"report_id": 1, "version": "1.0"}, "metrics": {"listening_tcp_ports": {"total": 3}}}
    rules = Rules([Attachment(read_profile(path))])
    for attached, expected in ((rules, 1), (rules, 1), (Rules(), 0), (Rules(), 0)):
        store = Store(tmp_path / "state")
        service = Service(attached, store, Alerts(to_log=False))
        service.restore(lambda *_: None)
        if attached is rules and not list(store.active()):
            service.accept(Accepted(ReportTopic("rpi-1", "json"), 1, 0, read_report(body).report), time.time())
        service.close(time.time())
        assert expected == len(list(Reader(tmp_path / "state").active()))
    kinds = [event.type for event in Reader(tmp_path / "state").events(0, time.time() + 1)]
    assert ["in-alarm", "alarm-invalidated"] == kinds


LISTENING = {"metric": "aws:num-listening-tcp-ports", "value": {"count": 1}}
DAY = 24 * 3600.0


def with_ports(thing: str, ports: int) -> Accepted:
    body = {"header": {"report_id": 1, "version": "1.0"}, "metrics": {"listening_tcp_ports": {"total": ports}}}
    return Accepted(ReportTopic(thing, "json"), 1, 0, read_report(body).report)


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(profile(**LISTENING)))
    return Rules([Attachment(read_profile(path))])


def test_an_alarm_of_a_thing_that_was_silent_for_two_days_is_invalidated_at_a_restart_and_once(
    tmp_path: Path, rules: Rules
) -> None:
    now = time.time()
    for expected in (["in-alarm"], ["in-alarm", "alarm-invalidated"], ["in-alarm", "alarm-invalidated"]):
        service = Service(Rules(rules.attachments), Store(tmp_path / "state"), Alerts(to_log=False))
        service.restore(lambda *_: None)
        if len(expected) == 1:
            service.accept(with_ports("rpi-1", 3), now - 3 * DAY)
        service.look_for_silence(now - 3 * DAY if len(expected) == 1 else now)
        service.close(now)
        events = list(Reader(tmp_path / "state").events(0, now + DAY))
        assert expected == [event.type for event in events]
        assert 1 == len({event.violation_id for event in events})
    assert [] == list(Reader(tmp_path / "state").active())


def test_an_alarm_whose_state_cannot_be_read_does_not_stay_on_for_ever(tmp_path: Path, rules: Rules) -> None:
    store, now = Store(tmp_path / "state"), time.time()
    service = Service(rules, store, Alerts(to_log=False))
    service.accept(with_ports("rpi-1", 3), now)
    store.add("rpi-1", now, None, state=b"\xc1")
    service.close(now)
    again = Service(Rules(rules.attachments), Store(tmp_path / "state"), Alerts(to_log=False))
    again.restore(lambda *_: None)
    again.accept(with_ports("rpi-1", 0), now + 300)
    again.close(now)
    reader = Reader(tmp_path / "state")
    assert [] == list(reader.active())
    assert ["in-alarm", "alarm-invalidated"] == [event.type for event in reader.events(0, now + DAY)]


def test_that_new_things_are_not_admitted_is_an_error_at_once_and_then_every_hour_while_it_lasts(
    rules: Rules, caplog: pytest.LogCaptureFixture
) -> None:
    service, now = Service(rules, None, Alerts(to_log=False), most_things=2), 1.8e9

    def report(*things: str) -> None:
        for thing in things:
            service.accept(with_ports(thing, 0), now)

    def told() -> list[tuple[str, str]]:
        service.look_for_silence(now)
        found = [(each.levelname, each.getMessage()) for each in caplog.records]
        caplog.clear()
        return found

    report("a", "b")
    assert [] == told()
    report("c", "d", "c", "a")
    ((level, message),) = told()
    assert "ERROR" == level
    assert message.startswith(
        "2 things have reported within two days, which is as many as detect.most_things allows: 3 reports of others"
    )
    for _ in range(59):
        now += 60
        report("c", "a", "b")
        assert [] == told()
    now += 60
    ((level, message),) = told()
    assert "59 reports of others" in message
    now += 60
    assert [] == told()  # nobody else has reported since
    now += 3 * DAY
    assert [("WARNING", "new things are admitted again: 0 of 2 have reported within two days")] == told()
    report("c", "d")
    assert [] == told()


def test_after_a_long_outage_every_alarm_is_invalidated_and_no_event_is_lost(
    tmp_path: Path, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("defender_detect.service.MOST_FINDINGS", 30)
    monkeypatch.setattr("defender_detect.store.batch.MOST_EVENTS", 50)
    store, now = Store(tmp_path / "state", interval=60, clock=lambda: now), 1.8e9
    service = Service(rules, store, Alerts(to_log=False))
    for number in range(100):
        service.accept(with_ports(f"rpi-{number}", 3), now)
        store.flush()
    now += 3 * DAY
    for left in (70, 40, 10, 0, 0):
        service.look_for_silence(now)
        store.flush()
        assert left == len(list(store.active()))
    assert 200 == len(list(store.events(0, now + 1)))
    service.close(now)


def test_silence_is_found_at_a_look_and_goes_on_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(profile(metric="aws:disconnect-duration", value={"count": 15})))
    now = 1.8e9
    monkeypatch.setattr("defender_detect.service.time.time", lambda: now)

    def started() -> Service:
        made = Service(Rules([Attachment(read_profile(path))]), Store(tmp_path / "state"), Alerts(to_log=False))
        made.restore(lambda *_: None)
        return made

    def active(service: Service) -> list[str]:
        assert service._store is not None
        service._store.flush()
        return [each.thing for each in service._store.active()]

    service = started()
    for thing in ("a", "b"):
        service.accept(with_ports(thing, 0), now)
    for _ in range(20):
        now += 60
        service.accept(with_ports("b", 0), now)
        service.look_for_silence(now)
    assert ["a"] == active(service)
    for _ in range(30):  # the broker is not there
        now += 60
        service.look_for_silence(now, deaf=60.0)
    assert ["a"] == active(service)
    service.accept(with_ports("b", 0), now)
    service.close(now)
    now += 3600  # of which nobody can be blamed
    service = started()
    service.look_for_silence(now)
    assert ["a"] == active(service)
    now += 1
    service.accept(with_ports("a", 0), now)
    assert [] == active(service)
    now += 3600  # the machine slept
    service.look_for_silence(now)
    assert [] == active(service)
    for _ in range(17):
        now += 60
        service.look_for_silence(now)
    assert ["a", "b"] == sorted(active(service))
    service.close(now)


class Refusing:
    """A sink that takes nothing, ever."""

    name, give_up_after = "the refusing sink", 0.0

    def send(self, event: Event) -> None:
        raise AlertRefused("no")


def test_reports_and_alerts_are_counted_for_good(tmp_path: Path) -> None:
    """For /metrics, whose counters must not begin again at a restart."""
    (tmp_path / "p.json").write_text(json.dumps(profile()))
    rules = Rules([Attachment(read_profile(tmp_path / "p.json"))])
    for turn in range(2):
        with_alerts = Alerts([Refusing()], to_log=False)
        service = Service(rules, Store(tmp_path / "state"), with_alerts)
        for cpu in (90, 10):  # an alarm begins, and is cleared
            body = report(10 * turn + cpu, cpu)
            service.accept(Accepted(ReportTopic("rpi-1", "json"), cpu, 0, read_report(body).report), time.time())
        service.reject(Rejected(ReportTopic("rpi-1", "json"), 3, 0, "Throttled", "too soon"))
        assert wait_until(lambda alerts=with_alerts: alerts.queues[0].dropped == 2)
        service.look_for_silence(time.time())
        service.close(time.time())
    reader = Reader(tmp_path / "state")
    assert {(): 4} == reader.counts("accepted")
    assert {("Throttled",): 2} == reader.counts("rejected")
    assert {("cpu", "idle"): 2} == reader.counts("in-alarm") == reader.counts("alarm-cleared")
    assert {("the refusing sink",): 4} == reader.counts("alerts-dropped")
    assert {("the refusing sink",): 0} == reader.counts("alerts-waiting")
    assert 0 < reader.counts("evaluation-seconds")[()]

"""The receiver answers every report, at any broker (mosquitto here), and never forgets to come back."""

from __future__ import annotations

import json
import logging
import queue
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")

import paho.mqtt.client as mqtt

from defender_detect.errors import CredentialsError
from defender_detect.judge.topics import ReportTopic
from defender_detect.judge.verdict import Accepted, LastReports
from defender_detect.receive.connection import Deafness
from defender_detect.receive.credentials import Credentials
from defender_detect.receive.endpoint import Endpoint
from defender_detect.receive.receiver import Receiver, Rejections
from demo.authority import Authority, Files
from tests.ports import unused_port

HOST = "127.0.0.1"
PATIENCE = 60.0  # seconds
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
MOSQUITTO_CONFIG = """
listener {port} 127.0.0.1
cafile {authority.certificate}
certfile {server.certificate}
keyfile {server.private_key}
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {acl}
persistence false
log_dest stderr
"""
ACL = """
user detect
topic readwrite $aws/things/#
pattern readwrite $aws/things/%u/defender/metrics/#
"""


class Thing:
    """A thing with an MQTT connection, which reports and collects the replies."""

    def __init__(self, endpoint: Endpoint, credentials: Credentials, name: str, clean_session: bool = True) -> None:
        self.name = name
        self.replies: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        self.lost = threading.Event()
        self.granted: queue.Queue[list[bool]] = queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, clean_session, reconnect_on_failure=False)
        self.client.tls_set_context(credentials.client_context())
        self.client.on_message = self._received
        self.client.on_subscribe = lambda *arguments: self.granted.put([not code.is_failure for code in arguments[3]])
        self.client.on_disconnect = lambda *_: self.lost.set()
        self.client.connect(endpoint.host, endpoint.port)
        self.client.loop_start()

    def _received(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        self.replies.put((message.topic.rpartition("/")[2], json.loads(message.payload)))

    def subscribe(self, topic_filter: str) -> bool:
        self.client.subscribe(topic_filter)
        return self.granted.get(timeout=PATIENCE)[0]

    def listen(self) -> Thing:
        assert self.subscribe(f"$aws/things/{self.name}/defender/metrics/json/+")
        return self

    def publish(self, payload: bytes, topic: str | None = None) -> None:
        self.client.publish(topic or f"$aws/things/{self.name}/defender/metrics/json", payload)

    def publish_retained(self, payload: bytes) -> None:
        sent = self.client.publish(f"$aws/things/{self.name}/defender/metrics/json", payload, qos=1, retain=True)
        sent.wait_for_publish(PATIENCE)

    def ask(self, payload: bytes) -> tuple[str, dict[str, Any]]:
        self.publish(payload)
        return self.replies.get(timeout=PATIENCE)

    def leave(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def report(report_id: int = 1) -> bytes:
    ports = {"ports": [{"port": 22, "interface": "eth0"}], "total": 1}
    document = {"header": {"report_id": report_id, "version": "1.0"}, "metrics": {"listening_tcp_ports": ports}}
    return json.dumps(document).encode()


def credentials_of(authority: Authority, files: Files) -> Credentials:
    return Credentials(authority.certificate, files.certificate, files.private_key)


class Mosquitto:
    """A mosquitto with mutual TLS that can be stopped and started again on the same port."""

    def __init__(self, directory: Path, authority: Authority, server: Files) -> None:
        self.endpoint = Endpoint(HOST, unused_port())
        acl = directory / "acl"
        acl.write_text(ACL)
        self.config = directory / "mosquitto.conf"
        fields = {"port": self.endpoint.port, "authority": authority, "server": server, "acl": acl}
        self.config.write_text(f"user {Path(directory).owner()}\n" + MOSQUITTO_CONFIG.format(**fields))
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([str(MOSQUITTO), "-c", str(self.config)], stderr=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.endpoint.port)) == 0:
                    return
            time.sleep(0.05)
        pytest.fail("mosquitto did not start")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:  # mosquitto 2.0 can miss a signal that comes right before it sleeps
            self.process.kill()
            self.process.wait(PATIENCE)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no receiver of these tests wait for long before it tries again to connect."""
    monkeypatch.setattr("defender_detect.receive.receiver.SHORTEST_WAIT", 0.1)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def credentials(authority: Authority) -> Credentials:
    return credentials_of(authority, authority.issue("detect", ["localhost", HOST]))


@pytest.fixture
def mosquitto(tmp_path: Path, authority: Authority, credentials: Credentials) -> Iterator[Mosquitto]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    broker = Mosquitto(tmp_path, authority, Files(credentials.certificate, credentials.private_key))
    yield broker
    broker.stop()


class Listening:
    """A receiver that runs, with what it told."""

    def __init__(self, endpoint: Endpoint, credentials: Credentials, **options: Any) -> None:
        self.ready = threading.Semaphore(0)
        self.failures: queue.Queue[Exception] = queue.Queue()
        self.receiver = Receiver(
            endpoint, credentials, on_ready=self.ready.release, on_failure=self.failures.put, **options
        )

    def __enter__(self) -> Listening:
        self.receiver.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.receiver.stop()

    def wait(self) -> None:
        assert self.ready.acquire(timeout=PATIENCE)


def test_reports_are_answered_at_another_broker(mosquitto, authority, credentials):
    with Listening(mosquitto.endpoint, credentials) as listening:
        listening.wait()
        thing = Thing(mosquitto.endpoint, credentials_of(authority, authority.issue("thing")), "thing").listen()
        assert thing.ask(report(7))[1]["reportId"] == 7
        verdict, reply = thing.ask(report(8))
        assert verdict == "rejected"
        assert reply["statusDetails"]["ErrorCode"] == "Throttled"
        thing.leave()


def test_how_long_nothing_could_be_heard_is_told_once():
    now = 0.0
    deafness = Deafness(lambda: now)
    now = 5.0
    deafness.end()
    now = 7.0
    assert (5.0, 0.0) == (deafness.take(), deafness.take())
    deafness.begin()
    now = 10.0
    deafness.begin()
    now = 11.0
    assert 4.0 == deafness.take()
    now = 12.0
    deafness.end()
    now = 20.0
    assert (1.0, 0.0) == (deafness.take(), deafness.take())


def test_the_receiver_comes_back_when_the_broker_does(mosquitto, authority, credentials, caplog):
    with Listening(mosquitto.endpoint, credentials) as listening:
        listening.wait()
        assert 0 < listening.receiver.deafness.take() < PATIENCE
        assert 0 == listening.receiver.deafness.take()
        mosquitto.stop()
        mosquitto.start()
        listening.wait()
        assert 0 < listening.receiver.deafness.take() < PATIENCE
        thing = Thing(mosquitto.endpoint, credentials_of(authority, authority.issue("thing")), "thing").listen()
        assert thing.ask(report())[0] == "accepted"
        thing.leave()
    assert any("lost" in record.getMessage() for record in caplog.records)


def test_the_receiver_waits_for_a_broker_that_is_not_there_yet(mosquitto, credentials, caplog):
    mosquitto.stop()
    with Listening(mosquitto.endpoint, credentials) as listening:
        end = time.monotonic() + PATIENCE
        while "Connection refused" not in caplog.text and time.monotonic() < end:
            time.sleep(0.02)
        mosquitto.start()
        listening.wait()
    assert "Connection refused" in caplog.text


def test_a_retained_report_is_not_answered_again(mosquitto, authority, credentials, caplog):
    thing = Thing(mosquitto.endpoint, credentials_of(authority, authority.issue("thing")), "thing").listen()
    thing.publish_retained(report(1))
    with Listening(mosquitto.endpoint, credentials) as listening:
        listening.wait()
        assert thing.ask(report(2))[1]["reportId"] == 2
    thing.leave()
    assert "retained message on '$aws/things/thing/defender/metrics/json' ignored" in caplog.text


def test_a_broker_of_another_authority_is_a_failure(mosquitto, tmp_path):
    other = Authority(tmp_path / "other")
    with Listening(mosquitto.endpoint, credentials_of(other, other.issue("detect"))) as listening:
        failure = listening.failures.get(timeout=PATIENCE)
    assert isinstance(failure, CredentialsError)
    assert str(failure).startswith(f"the certificate of {mosquitto.endpoint} is not trusted: ")


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def test_each_thing_may_report_once_per_interval(credentials):
    clock = Clock()
    receiver = Receiver(Endpoint(HOST, 1), credentials, clock=clock)
    verdicts = []
    for seconds, thing in [(0, "a"), (1, "b"), (298, "a"), (10, "b"), (1, "a")]:
        clock.now += seconds
        topic, _ = receiver.answer(f"$aws/things/{thing}/defender/metrics/json", report())
        verdicts.append(topic.rpartition("/")[2])
    assert verdicts == ["accepted", "accepted", "accepted", "accepted", "rejected"]


def test_a_rejected_report_does_not_put_off_the_next_one(credentials):
    clock = Clock()
    receiver = Receiver(Endpoint(HOST, 1), credentials, clock=clock)
    topics = []
    for seconds in (0, 200, 100):
        clock.now += seconds
        topics.append(receiver.answer("$aws/things/a/defender/metrics/json", report())[0].rpartition("/")[2])
    assert topics == ["accepted", "rejected", "accepted"]


def test_a_thing_that_is_rejected_again_and_again_is_not_read_until_its_interval_is_over(credentials, caplog):
    clock = Clock()
    receiver = Receiver(Endpoint(HOST, 1), credentials, clock=clock)
    topic = "$aws/things/{}/defender/metrics/json"
    answers = [receiver.answer(topic.format("evil"), b"{}") for _ in range(1_000)]
    assert [True] * 100 + [False] * 900 == [answer is not None for answer in answers]
    assert receiver.answer(topic.format("other"), report())[0].endswith("/accepted")
    clock.now += 299
    assert receiver.answer(topic.format("evil"), report()) is None
    clock.now += 1
    assert receiver.answer(topic.format("evil"), report())[0].endswith("/accepted")
    said = [record.getMessage() for record in caplog.records]
    assert 2 == len(said)
    assert "evil: more than 100 reports rejected, what follows is not read" == said[1]


def test_where_reports_may_come_at_any_time_each_of_them_is_read(credentials):
    receiver = Receiver(Endpoint(HOST, 1), credentials, minimum_interval=0)
    answers = [receiver.answer("$aws/things/evil/defender/metrics/json", b"{}") for _ in range(100)]
    assert 100 == len([answer for answer in answers if answer is not None])


def test_made_up_names_that_are_rejected_do_not_grow_the_memory():
    rejections = Rejections(300.0)
    for number in range(20_000):
        rejections.count(f"made-up-{number}", 0.0)
    assert 10_000 == len(rejections._by_thing)


def test_the_same_rejection_again_is_one_line_a_minute(credentials, caplog):
    receiver = Receiver(Endpoint(HOST, 1), credentials, minimum_interval=0)
    for _ in range(1_000):
        receiver.answer("$aws/things/evil/defender/metrics/json", b"{}")
        receiver.answer("$aws/things/a b\n/defender/metrics/json", b"{}")
    assert 2 == len(caplog.records)


def test_every_report_is_one_line_in_the_log(credentials, caplog):
    caplog.set_level(logging.DEBUG)
    receiver = Receiver(Endpoint(HOST, 1), credentials)
    for payload in (report(5), report(6), b"\x00\n"):
        receiver.answer("$aws/things/a/defender/metrics/json", payload)
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    payload = lines.pop(1)  # what was accepted, for those who want to see it all
    assert payload == ("DEBUG", f"a: {report(5)!a}")
    assert lines[0] == ("DEBUG", f"a: report 5 of {len(report())} bytes accepted")
    assert lines[1][0] == "WARNING"
    assert lines[1][1].startswith(
        f"a: report 6 of {len(report())} bytes rejected: Throttled: At most one report per 300 s"
    )
    assert lines[2][1].startswith("a: report None of 2 bytes rejected: InvalidPayload: Malformed metrics report: ")
    assert all(line.isprintable() for _, line in lines)


@pytest.mark.parametrize("topic", ["$aws/things/a\nb/defender/metrics/json", "$aws/things/a/shadow", ""])
def test_a_message_that_is_no_report_has_no_reply(topic, credentials, caplog):
    assert Receiver(Endpoint(HOST, 1), credentials).answer(topic, report()) is None
    assert "\n" not in caplog.records[0].getMessage()


def accepted(thing: str) -> Accepted:
    return Accepted(ReportTopic(thing, "json"), 1, 0, {})


def test_made_up_names_do_not_grow_the_memory():
    last_reports = LastReports(100_000)
    for number in range(100_010):
        last_reports.remember(accepted(f"made-up-{number}"), number)
    assert len(last_reports) == 100_000
    assert last_reports.find("made-up-9") is None
    assert last_reports.find("made-up-100009").accepted_at == 100_009


def test_the_thing_that_was_silent_for_longest_is_forgotten_first():
    last_reports = LastReports(capacity=2)
    for moment, thing in enumerate(["a", "b", "a", "c"]):
        last_reports.remember(accepted(thing), moment)
    assert [thing for thing in "abc" if last_reports.find(thing)] == ["a", "c"]

"""Whoever is to hear of an alarm does, in AWS's words, and a target that fails or hangs holds up nobody."""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from defender_detect.alerts import webhook as webhooks
from defender_detect.alerts.command import Command, CommandSink
from defender_detect.alerts.queue import AlertQueue, Alerts
from defender_detect.alerts.sns import Sns, SnsSink
from defender_detect.alerts.topic import Topic, TopicSink
from defender_detect.alerts.webhook import WebhookSink
from defender_detect.errors import AlertError, AlertRefused, AlertSettingError
from defender_detect.evaluate.shapes import alert_body
from device_defender.validation import find_problems
from tests.detect.store.test_store import CRITERIA, event
from tests.waiting import FOR_EVER, PATIENCE, outcome, wait_until

BODY = {
    "violationEventTime": 1_800_000_000_250,
    "thingName": "rpi-1",
    "behavior": {"name": "cpu", "metric": "cpu_usage", "criteria": CRITERIA},
    "violationEventType": "in-alarm",
    "metricValue": {"number": 99.5},
    "violationId": "id-rpi-1",
    "securityProfileName": "cpu-usage",
    "message": "rpi-1: in-alarm: cpu_usage is 99.5, normal is at most 75 (cpu of cpu-usage)",
}
ARN = "arn:aws:sns:eu-west-1:123456789012:alarms"


class FakeSink:
    """A sink that does with each alert what is next on its list: raises it, waits for it, or takes the alert."""

    name = "the fake"
    give_up_after = 60.0

    def __init__(self, *script: Exception | threading.Event) -> None:
        self.script = list(script)
        self.taken: list[str] = []
        self.times: list[float] = []

    def send(self, event: Any) -> None:
        self.times.append(time.monotonic())
        act = self.script.pop(0) if self.script else None
        if isinstance(act, Exception):
            raise act
        if act is not None:
            act.wait(PATIENCE)
        self.taken.append(event.violation_id)


@pytest.fixture
def queue_to() -> Iterator[Callable[..., AlertQueue]]:
    """Make a queue that waits little, and end it after the test."""
    made: list[AlertQueue] = []

    def queue_to(sink: Any, **options: Any) -> AlertQueue:
        made.append(AlertQueue(sink, **{"first_wait": 0.01, **options}))
        return made[-1]

    yield queue_to
    for queue in made:
        queue.close(1)


def put(queue: AlertQueue, *names: str) -> None:
    for name in names:
        queue.put(event(violation_id=name))


def test_the_body_is_that_of_awss_message_and_one_more_key() -> None:
    assert BODY == alert_body(event())
    assert {} == alert_body(event("alarm-invalidated", value=None))["metricValue"]
    assert {"ports": [22, 80]} == alert_body(event(value=(22, 80), kind="ports"))["metricValue"]


def test_alerts_are_taken_in_order_and_after_failures_with_growing_waits(
    queue_to: Callable[..., AlertQueue], caplog: pytest.LogCaptureFixture
) -> None:
    sink = FakeSink(AlertError("it is down"), AlertError("it is down"), OSError("still"), AlertError("it is down"))
    queue = queue_to(sink, first_wait=0.02, chance=random.Random(1))
    put(queue, "a", "b", "c")
    assert wait_until(lambda: queue.sent == 3)
    assert ["a", "b", "c"] == sink.taken
    assert (3, 4, 0, 0) == (queue.sent, queue.failed, queue.dropped, len(queue))
    waits = [after - before for before, after in zip(sink.times, sink.times[1:])][:4]
    assert all(wait >= least for wait, least in zip(waits, (0.01, 0.02, 0.04, 0.08)))
    assert 1 == caplog.text.count("an alert was not delivered: it is down; trying again")
    assert "the fake: delivering alerts again after 4 failures" in caplog.text


def test_an_alert_that_is_refused_is_said_and_the_next_is_taken(
    queue_to: Callable[..., AlertQueue], caplog: pytest.LogCaptureFixture
) -> None:
    sink = FakeSink(AlertRefused("the answer was 400"))
    queue = queue_to(sink)
    put(queue, "a", "b")
    assert wait_until(lambda: queue.sent == 1)
    assert (["b"], 1, 0) == (sink.taken, queue.dropped, queue.failed)
    assert "giving up on this alert: in-alarm of rpi-1, cpu-usage, cpu: the answer was 400" in caplog.text


def test_an_alert_that_is_too_old_is_given_up(queue_to: Callable[..., AlertQueue]) -> None:
    sink = FakeSink(*[AlertError("no")] * 3)
    sink.give_up_after = 0.0
    queue = queue_to(sink)
    put(queue, "a", "b", "c", "d")
    assert wait_until(lambda: queue.sent == 1)
    assert (["d"], 3, 3) == (sink.taken, queue.failed, queue.dropped)


def test_the_oldest_are_dropped_and_that_is_said_once(
    queue_to: Callable[..., AlertQueue], caplog: pytest.LogCaptureFixture
) -> None:
    hang = threading.Event()
    sink = FakeSink(hang)
    queue = queue_to(sink, most=3)
    put(queue, "first")
    assert wait_until(lambda: sink.times)
    put(queue, *map(str, range(1000)))
    assert 0 == queue.sent  # so nobody waited for the sink
    hang.set()
    assert wait_until(lambda: queue.sent == 4)
    assert (["first", "997", "998", "999"], 997) == (sink.taken, queue.dropped)
    assert 1 == caplog.text.count("3 alerts are waiting; the oldest are dropped from now on")


def test_how_long_the_other_side_asks_to_wait_is_how_long_we_do(queue_to: Callable[..., AlertQueue]) -> None:
    sink = FakeSink(AlertError("busy", wait=0.2))
    queue = queue_to(sink, first_wait=FOR_EVER)
    put(queue, "a")
    assert wait_until(lambda: queue.sent == 1)
    assert 0.2 <= sink.times[1] - sink.times[0]


def alerts_to(*sinks: FakeSink) -> Alerts:
    alerts = Alerts(sinks, to_log=False)
    for name in "abc":
        alerts.tell(event(violation_id=name))
    return alerts


def test_the_end_hands_over_what_waits_and_says_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    good, bad, hangs = FakeSink(), FakeSink(*[AlertError("no")] * 9), FakeSink(hang := threading.Event())
    alerts = alerts_to(hangs, good, bad)
    end = threading.Thread(target=alerts.close, args=(PATIENCE,))
    end.start()
    assert wait_until(lambda: good.taken == ["a", "b", "c"])
    assert [] == hangs.taken
    hang.set()
    end.join(PATIENCE)
    assert ["a", "b", "c"] == hangs.taken
    assert 1 == caplog.text.count("the fake: 3 alerts were not delivered; the list of violations has them")


def test_the_end_does_not_wait_for_sinks_that_hang(caplog: pytest.LogCaptureFixture) -> None:
    hangs, too = FakeSink(hang := threading.Event()), FakeSink(hang)
    alerts_to(hangs, too).close(0.1)
    assert ([], []) == (hangs.taken, too.taken)
    hang.set()
    assert 2 == caplog.text.count("the fake: 3 alerts were not delivered; the list of violations has them")


def test_a_suppressed_alert_is_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    sink = FakeSink()
    alerts = Alerts([sink])
    with caplog.at_level(logging.INFO):
        alerts.tell(event(suppressed=True))
    alerts.close()
    assert ([], "") == (sink.taken, caplog.text)


def test_the_log_has_a_line_for_each(caplog: pytest.LogCaptureFixture) -> None:
    alerts = Alerts()
    with caplog.at_level(logging.INFO):
        alerts.tell(event())
        alerts.tell(event("alarm-invalidated", value=None))
        alerts.tell(event(value=("\x1b\n" * 1000,), kind="strings"))
    begun, ended, hostile = caplog.records
    assert ("WARNING", BODY["message"]) == (begun.levelname, begun.getMessage())
    assert "INFO" == ended.levelname
    assert ended.getMessage().startswith("rpi-1: alarm-invalidated: no report for two days, or")
    assert len(hostile.getMessage()) < 500
    assert hostile.getMessage().isprintable()


def test_whole_lists_are_in_the_log_at_debug_only(caplog: pytest.LogCaptureFixture) -> None:
    alerts, ports = Alerts(), {"comparisonOperator": "in-port-set", "value": {"ports": [22]}}
    with caplog.at_level(logging.DEBUG):
        alerts.tell(event(value=tuple(range(100)), kind="ports", criteria=ports, metric="aws:listening-tcp-ports"))
    line, whole = [record.getMessage() for record in caplog.records if "rpi-1" in record.getMessage()]
    assert "TCP ports 0, 1, 2 and 96 more are listening" in line
    assert 'aws:listening-tcp-ports is {"ports": [0, 1, 2,' in whole
    assert "98, 99]}, normal is" in whole


class Webhook(http.server.ThreadingHTTPServer):
    """A webhook on loopback that answers with the next of `answers`: a status, a header, or nothing until `release`."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), WebhookHandler)
        self.answers: list[Any] = []
        self.received: list[tuple[str, dict[str, str], Any]] = []
        self.release = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/secret-token"


class WebhookHandler(http.server.BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:  # noqa: N802 - the server's name for it
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, dict(self.headers), json.loads(body)))
        answer = self.server.answers.pop(0) if self.server.answers else 204
        if answer == "hang":
            self.server.release.wait(PATIENCE)
            return
        if answer == "rubbish":
            self.wfile.write(b"\x00\xffno http\r\n\r\n")
            return
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A webhook that listens."""
    with Webhook() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.release.set()
        server.shutdown()


class ImpatientSink(WebhookSink):
    """A webhook's sink that gives only what is going to hang a short time."""

    def __init__(self, webhook: Webhook, headers: dict[str, str]) -> None:
        super().__init__(webhook.url, headers)
        self._webhook = webhook

    def send(self, event: Any) -> None:
        self._timeout = 0.2 if self._webhook.answers[:1] == ["hang"] else PATIENCE
        super().send(event)


def test_a_webhook_that_fails_hangs_and_recovers_gets_every_alert(
    webhook: Webhook, queue_to: Callable[..., AlertQueue], caplog: pytest.LogCaptureFixture
) -> None:
    webhook.answers = [500, "hang", "rubbish", (503, {"Retry-After": "0"}), 204, 429]
    queue = queue_to(ImpatientSink(webhook, {"Authorization": "Bearer x"}))
    put(queue, "a", "b", "c")
    assert wait_until(lambda: queue.sent == 3)
    assert ["a"] * 5 + ["b"] * 2 + ["c"] == [body["violationId"] for _, _, body in webhook.received]
    path, headers, body = webhook.received[0]
    assert ("/secret-token", {**BODY, "violationId": "a"}) == (path, body)
    assert ("application/json", "Bearer x") == (headers["Content-Type"], headers["Authorization"])
    assert 5 == queue.failed
    assert "the webhook at http://127.0.0.1" in caplog.text
    assert "secret-token" not in caplog.text


@pytest.mark.parametrize(("status", "refused"), [(400, True), (302, True), (404, True), (408, False), (502, False)])
def test_a_webhooks_status_says_whether_to_try_again(webhook: Webhook, status: int, refused: bool) -> None:
    webhook.answers = [(status, {"Location": webhook.url})]
    with pytest.raises(AlertError, match=f"the answer was {status}") as caught:
        WebhookSink(webhook.url).send(event())
    assert refused is isinstance(caught.value, AlertRefused)
    assert 1 == len(webhook.received)


def test_a_webhook_that_nobody_listens_at_is_tried_again(free_port: int) -> None:
    with pytest.raises(AlertError, match="no connection: ") as caught:
        WebhookSink(f"http://127.0.0.1:{free_port}/").send(event())
    assert not isinstance(caught.value, AlertRefused)


@pytest.mark.parametrize(
    "url",
    ["", "file:///etc/passwd", "ftp://x/", "http://", "http:///x", "https://user:pass@host/", "http://x:99999/",
     "http://a b/", "http://x/\r\nHost: y", "http://[::1", "nonsense", "http://x/\xe9"],
)  # fmt: skip
def test_what_is_no_webhook_is_refused_at_once(url: str) -> None:
    (problem,) = find_problems({"type": "webhook", "url": url}, webhooks.Webhook)
    rule = "an http or https URL in ASCII with a host name, and without spaces and credentials"
    rule += ' or an object with either "file" or "credential"'
    assert f"url must be {rule}, got something else, which is not shown here" == problem


@pytest.mark.parametrize("headers", [{"A": "secret\nB: c"}, {"A b": "secret"}, {"": "secret"}, {"A": "secret\xe9"}])
def test_a_header_that_cannot_be_sent_is_refused_at_once(headers: dict[str, str]) -> None:
    document = {"type": "webhook", "url": "http://localhost/", "headers": headers}
    (problem,) = find_problems(document, webhooks.Webhook)
    assert problem.startswith("headers")
    assert "secret" not in problem


def test_a_command_gets_the_body_on_its_standard_input(tmp_path: Path) -> None:
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"
    CommandSink([sys.executable, "-c", code, str(tmp_path / "; touch x")]).send(event())
    assert json.loads((tmp_path / "; touch x").read_text()) == BODY


def members(group: int) -> list[int]:
    """The processes of a group that run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"

    class Patient(subprocess.Popen):  # type: ignore[type-arg]
        """Its time begins when all of the command runs."""

        def communicate(self, *arguments: Any, **named: Any) -> Any:
            assert wait_until(there.exists)
            assert wait_until(lambda: 3 == len(members(self.pid)))
            groups.append(self.pid)
            return super().communicate(*arguments, **named)

    groups: list[int] = []
    monkeypatch.setattr(subprocess, "Popen", Patient)
    with pytest.raises(AlertError, match="ran for more than 0.1 s"):
        CommandSink(["sh", "-c", f"sleep 600 & touch {there}; sleep 600; :"], timeout=0.1).send(event())
    assert wait_until(lambda: [] == members(groups[0]))


def test_a_command_that_leaves_a_child_behind_is_not_waited_for(tmp_path: Path) -> None:
    sink = CommandSink(["sh", "-c", f"sleep 600 >&2 & echo $! > {tmp_path / 'pid'}"], timeout=FOR_EVER)
    assert None is outcome(lambda: sink.send(event()))
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_command_that_reads_nothing_is_no_failure() -> None:
    CommandSink(["true"]).send(event(value=("x" * 200_000,), kind="strings"))


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["sh", "-c", "echo 'no\tsuch \033[31mroom' >&2; exit 3"], r"^exit status 3: no such \\x1b\[31mroom$"),
        (["sh", "-c", "kill -9 $$"], "^exit status -9$"),
        (["/nowhere/program"], "cannot be started: .*No such file"),
        (["true", "a\0b"], "cannot be started: embedded null byte"),
    ],
)
def test_a_command_that_fails_says_why(command: list[str], expected: str) -> None:
    with pytest.raises(AlertError, match=expected):
        CommandSink(command).send(event())


@pytest.mark.parametrize("command", ["mail root", [], [""]])
def test_what_is_no_command_is_refused_at_once(command: Any) -> None:
    (problem,) = find_problems({"type": "command", "command": command}, Command)
    assert problem.startswith("command must be an array of strings: a program and its arguments, got ")


def test_a_topic_gets_the_body_unless_it_is_too_large() -> None:
    published: list[tuple[str, bytes]] = []
    sink = TopicSink("alarms/all", lambda topic, payload, retain=False: published.append((topic, payload)))
    sink.send(event())
    assert [("alarms/all", BODY)] == [(topic, json.loads(payload)) for topic, payload in published]
    with pytest.raises(AlertRefused, match="a message may have 131072"):
        sink.send(event(value=("x" * 131_072,), kind="strings"))
    assert 1 == len(published)


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0", "a/b/c/d/e/f/g/h/i", "x" * 257])
def test_what_is_no_topic_is_refused_at_once(topic: str) -> None:
    (problem,) = find_problems({"type": "topic", "topic": topic}, Topic)
    assert problem.startswith("topic must be a topic of 1 to 256 bytes with at most 7 slashes and without + and #, got")


class FakeSns:
    """A client of SNS, as boto3 makes it."""

    def __init__(self, code: str | None = None) -> None:
        self.code = code
        self.published: list[dict[str, str]] = []

    def publish(self, **message: str) -> None:
        if self.code:
            error = RuntimeError("An error occurred")
            error.response = {"Error": {"Code": self.code}}  # type: ignore[attr-defined]
            raise error
        self.published.append(message)


def test_sns_gets_the_body() -> None:
    client = FakeSns()
    SnsSink(ARN, client).send(event())
    ((arn, message),) = [(each["TopicArn"], each["Message"]) for each in client.published]
    assert (ARN, BODY) == (arn, json.loads(message))


@pytest.mark.parametrize(("code", "refused"), [("InvalidParameter", True), ("Throttled", False), ("NotFound", False)])
def test_what_sns_says_decides_whether_to_try_again(code: str, refused: bool) -> None:
    with pytest.raises(AlertError) as caught:
        SnsSink(ARN, FakeSns(code)).send(event())
    assert refused is isinstance(caught.value, AlertRefused)


@pytest.mark.parametrize("arn", ["", "x", "arn:aws:sqs:eu-west-1:123456789012:x", ARN + "\n", ARN + ".fifo"])
def test_what_is_no_arn_of_an_sns_topic_is_refused_at_once(arn: str) -> None:
    (problem,) = find_problems({"type": "sns", "topic_arn": arn}, Sns)
    assert problem.startswith("topic_arn must be the ARN of an SNS topic, arn:aws:sns:REGION:ACCOUNT:NAME, got ")


def test_an_sns_topic_may_be_in_china() -> None:
    arn = "arn:aws-cn:sns:cn-north-1:123456789012:x"
    assert [] == find_problems({"type": "sns", "topic_arn": arn}, Sns)


def test_sns_without_boto3_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(AlertSettingError, match="pip install boto3"):
        SnsSink(ARN)

"""Alerts to a webhook: its status says whether to try again."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from defender_detect.alerts import webhook as webhooks
from defender_detect.alerts.queue import AlertQueue
from defender_detect.alerts.webhook import WebhookSink
from defender_detect.errors import AlertError, AlertRefused
from device_defender.validation import find_problems
from tests.detect.alerts.test_queue import put
from tests.detect.alerts.test_queue import queue_to as queue_to
from tests.detect.evaluate.test_shapes import BODY
from tests.detect.store.test_store import event
from tests.waiting import PATIENCE, wait_until


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
        hangs = self._webhook.answers[:1] == ["hang"]
        self._timeout = 0.2 if hangs else PATIENCE
        try:
            super().send(event)
        finally:  # on a busy machine it may be over before the other side has begun to hang
            wait_until(lambda: not hangs or self._webhook.answers[:1] != ["hang"])


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

"""A POST of JSON: which addresses it can go to, what of one may be in the log, and which answer means what."""

from __future__ import annotations

import contextlib
import email.message
import http.client
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from defender_detect.alerts import posting
from defender_detect.alerts.posting import is_header, is_url, origin_of, post, refusal
from defender_detect.errors import AlertError, AlertRefused

URL = "https://h.example/secret?token=x"


@pytest.mark.parametrize(
    "url", ["http://h", "https://h.example:8443/a?b=c#d", "http://127.0.0.1:1/", "http://[::1]:65535/%20", "HTTPS://H/"]
)
def test_what_can_be_posted_to_is_an_address_of_the_web(url: str) -> None:
    assert is_url(url)


@pytest.mark.parametrize(
    "url",
    ["", "h", "//h", "http:h", "http://", "http://:80/", "ftp://h", "file:///etc/passwd", "javascript:alert(1)",
     "http://h:0/", "http://h:65536/", "http://h:x/", "http://user@h/", "http://user:pass@h/", "http://a b/",
     "http://h/\n", "http://h/\t", "http://h/\u00e9", "http://k\u00fcche/", "http://[::1", "http://h/\x00"],
)  # fmt: skip
def test_what_cannot_or_would_give_credentials_away_is_none(url: str) -> None:
    assert not is_url(url)


def test_a_header_is_one_line_of_ascii() -> None:
    assert all(map(is_header, ("", "Bearer x=", " ~")))
    assert not any(map(is_header, ("a\r\nB: c", "\u00e9", "\x00", "\x7f", "\u202e")))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        (URL, "https://h.example"),
        ("http://h:8080/secret", "http://h:8080"),
        ("http://[2001:db8::1]/secret", "http://[2001:db8::1]"),
        ("http://[::1]:8080/secret", "http://[::1]:8080"),
    ],
)
def test_the_log_has_scheme_and_host_and_nothing_that_could_be_a_secret(url: str, origin: str) -> None:
    assert origin == origin_of(url)


@pytest.mark.parametrize("status", [301, 302, 304, 307, 400, 404, 405, 410, 413, 422, 499])
def test_an_answer_about_the_alert_or_the_address_is_final(status: int) -> None:
    assert isinstance(refusal(status, "5"), AlertRefused)
    assert f"the answer was {status}" == str(refusal(status, None))


@pytest.mark.parametrize("status", [401, 403, 408, 425, 429, 500, 502, 503, 599])
def test_any_other_may_change_and_is_tried_again(status: int) -> None:
    assert not isinstance(refusal(status, None), AlertRefused)
    assert f"the answer was {status}" in str(refusal(status, None))


def test_wrong_credentials_are_said_and_no_time_is_taken_from_who_does_not_know_us() -> None:
    for status in (401, 403):
        said = refusal(status, "5")
        assert ("credentials are wrong" in str(said), None) == (True, said.wait)


@pytest.mark.parametrize(
    ("asked", "wait"),
    [("0", 0.0), ("120", 120.0), (None, None), ("", None), ("-1", None), ("1.5", None), ("soon", None),
     ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)  # fmt: skip
def test_how_long_to_wait_is_taken_in_seconds(asked: str | None, wait: float | None) -> None:
    assert wait == refusal(503, asked).wait


class Opener:
    """What opens a connection, in a test: it remembers what was sent, and raises what it was given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.sent = error, list[tuple[urllib.request.Request, float]]()

    @contextlib.contextmanager
    def open(self, request: urllib.request.Request, timeout: float) -> Iterator[None]:
        self.sent.append((request, timeout))
        if self.error is not None:
            raise self.error
        yield


def error_of(monkeypatch: pytest.MonkeyPatch, error: Exception) -> AlertError:
    monkeypatch.setattr(posting, "_opener", Opener(error))
    with pytest.raises(AlertError) as caught:
        post(URL, {}, {})
    assert "secret" not in str(caught.value)
    return caught.value


def test_a_body_is_posted_as_json_with_headers_that_the_target_may_replace(monkeypatch: pytest.MonkeyPatch) -> None:
    opener = Opener()
    monkeypatch.setattr(posting, "_opener", opener)
    post(URL, {"thing": "k\u00fcche \u202e"}, {"Content-Type": "application/x", "Authorization": "Bearer y"}, 3.0)
    ((request, timeout),) = opener.sent
    assert ("POST", URL, 3.0) == (request.get_method(), request.full_url, timeout)
    assert isinstance(request.data, bytes)
    assert {"thing": "k\u00fcche \u202e"} == json.loads(request.data.decode("ascii"))
    headers = {name.lower(): value for name, value in request.header_items()}
    assert ("application/x", "Bearer y") == (headers["content-type"], headers["authorization"])
    assert headers["user-agent"].startswith("amazon-defender-detect/")


def test_a_status_says_how_long_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = email.message.Message()
    headers["Retry-After"] = "7"
    error = error_of(monkeypatch, urllib.error.HTTPError(URL, 503, "busy with a secret", headers, io.BytesIO()))
    assert ("the answer was 503", 7.0) == (str(error), error.wait)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (urllib.error.URLError(ConnectionRefusedError(111, "Connection refused")), "no connection: [Errno 111]"),
        (urllib.error.URLError("unknown host"), "no connection: unknown host"),
        (TimeoutError("timed out"), "no answer: timed out"),
        (TimeoutError(), "no answer: TimeoutError"),
        (http.client.BadStatusLine("\x00"), "no answer: "),
        (http.client.RemoteDisconnected("gone"), "no answer: gone"),
    ],
    ids=repr,
)
def test_without_an_answer_it_is_tried_again(monkeypatch: pytest.MonkeyPatch, error: Exception, said: str) -> None:
    found = error_of(monkeypatch, error)
    assert str(found).startswith(said)
    assert not isinstance(found, AlertRefused)


def test_no_redirect_is_followed() -> None:
    handler: Any = posting._NoRedirect()
    request = urllib.request.Request(URL, b"{}")
    assert None is handler.redirect_request(request, io.BytesIO(), 302, "Found", {}, "http://evil.example/")
    assert any(isinstance(each, posting._NoRedirect) for each in posting._opener.handlers)  # type: ignore[attr-defined]

"""A request is read whole, from whom it may come, and every answer is AWS's: a result, or a fault by its name."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from defender_detect.api import app
from defender_detect.api.answers import Source
from defender_detect.api.app import MOST_BODY, Api, Gate, answer_to, check_browser, read_body, read_request, read_time
from defender_detect.api.faults import Fault
from defender_detect.api.signature import Request
from defender_detect.store.documents import kept_in
from defender_detect.store.pages import PageReader
from tests.detect.api.conftest import rules
from tests.detect.store.test_store import NOW

GATE = Gate(frozenset({"127.0.0.1:8791"}), None)
HOST = {"host": "127.0.0.1:8791"}


def source_of(directory: Path, **changes: Any) -> Source:
    given = {"rules": rules, "kept": kept_in(directory), "refresh": lambda: None, **changes}
    return Source(**{"store": PageReader(directory), **given})


def ask(source: Source, method: str, path: str, query: str = "", body: bytes = b"", is_signed: bool = False) -> Any:
    return answer_to(source, Request(method, path, query, {}, body), is_signed)


def fault_of(source: Source, *asked: Any, **given: Any) -> tuple[int, str, str]:
    with pytest.raises(Fault) as refused:
        ask(source, *asked, **given)
    return refused.value.status, refused.value.name, str(refused.value)


class Wire:
    """The other side of an application: the parts of a body that it sends, and what it is sent."""

    def __init__(self, *parts: bytes, then: str = "http.request") -> None:
        self.parts, self.then = list(parts) or [b""], then
        self.sent: list[MutableMapping[str, Any]] = []

    async def receive(self) -> MutableMapping[str, Any]:
        part = self.parts.pop(0)
        return {"type": "http.request" if self.parts else self.then, "body": part, "more_body": bool(self.parts)}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)

    @property
    def answer(self) -> tuple[int, dict[str, str], Any]:
        start, end = self.sent
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        assert str(len(end["body"])) == headers["content-length"]
        return start["status"], headers, json.loads(end["body"])


def scope_of(path: str = "/active-violations", method: str = "GET", query: str = "", **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in {**HOST, **headers}.items()]
    return {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": pairs}


def answered(source: Source, scope: dict[str, Any], wire: Wire | None = None, gate: Gate = GATE) -> Any:
    wire = wire or Wire()
    asyncio.run(Api(source, gate)(scope, wire.receive, wire.send))
    return wire.answer


def test_an_answer_is_json_that_nobody_keeps(violations: Path) -> None:
    status, headers, answer = answered(source_of(violations), scope_of(query="maxResults=1"))
    assert (200, 1, "application/json") == (status, len(answer["activeViolations"]), headers["content-type"])
    assert ("no-store", "nosniff") == (headers["cache-control"], headers["x-content-type-options"])
    assert "x-amzn-errortype" not in headers
    assert 36 == len(headers["x-amzn-requestid"])


def test_a_fault_has_its_name_in_a_header_and_its_sentence_in_the_body(violations: Path, tmp_path: Path) -> None:
    for scope, status, name in (
        (scope_of("/nothing"), 404, "UnknownOperationException"),
        (scope_of(query="maxResults=0"), 400, "InvalidRequestException"),
        (scope_of(origin="http://evil.example"), 403, "InvalidRequestException"),
    ):
        found, headers, answer = answered(source_of(violations), scope)
        assert (status, name, ["message"]) == (found, headers["x-amzn-errortype"], [*answer])
    found, headers, answer = answered(source_of(tmp_path), scope_of())
    assert (500, "InternalFailureException") == (found, headers["x-amzn-errortype"])
    assert "has not run with it yet" in answer["message"]


def test_what_nobody_foresaw_is_in_the_log_and_not_in_the_answer(
    violations: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a secret")

    status, headers, answer = answered(source_of(violations, rules=broken), scope_of("/security-profiles"))
    assert (500, "InternalFailureException", {"message": "see the log"}) == (
        status, headers["x-amzn-errortype"], answer,
    )  # fmt: skip
    assert "a secret" in caplog.text


def test_with_keys_nothing_is_answered_that_is_not_signed(violations: Path) -> None:
    gate = GATE._replace(secrets={"AKIAX": "s" * 40})
    status, headers, _ = answered(source_of(violations), scope_of(), gate=gate)
    assert (403, "IncompleteSignatureException") == (status, headers["x-amzn-errortype"])


def read_of(scope: dict[str, Any], wire: Wire) -> Request:
    return asyncio.run(read_request(scope, wire.receive))


def test_a_body_is_put_together_and_may_have_so_many_bytes() -> None:
    assert b"abc" == read_of(scope_of(), Wire(b"a", b"b", b"c")).body
    assert MOST_BODY == len(read_of(scope_of(content_length=str(MOST_BODY)), Wire(b"x" * MOST_BODY)).body)
    assert b"a" == read_of(scope_of(), Wire(b"a", then="http.disconnect")).body


@pytest.mark.parametrize("length", [str(MOST_BODY + 1), "-1", "x", "", "\u00b2"])
def test_a_body_that_is_too_long_is_not_waited_for(length: str) -> None:
    wire = Wire(b"never")
    with pytest.raises(Fault, match="the body must have at most 1000000 bytes, and come at once") as refused:
        read_of(scope_of(content_length=length), wire)
    assert (413, [b"never"]) == (refused.value.status, wire.parts)


def test_a_body_that_is_longer_than_it_said_or_does_not_come_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Fault):
        read_of(scope_of(content_length="1"), Wire(b"x" * MOST_BODY, b"x", b"x"))
    monkeypatch.setattr(app, "PATIENCE", 0)

    async def never() -> MutableMapping[str, Any]:
        await asyncio.sleep(3600)
        return {}

    with pytest.raises(Fault, match="come at once"):
        asyncio.run(read_request(scope_of(), never))


def test_a_path_is_taken_as_it_came(violations: Path) -> None:
    raw = {**scope_of("/security-profiles/a/b"), "raw_path": b"/security-profiles/a%2Fb"}
    assert "/security-profiles/a%2Fb" == read_of(raw, Wire()).path
    status, _, answer = answered(source_of(violations), raw)
    assert (400, True) == (status, "securityProfileName must be" in answer["message"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 421),
        ({"host": "evil.example"}, 421),
        ({**HOST, "origin": "http://127.0.0.1:8791"}, 403),
        ({**HOST, "origin": ""}, 403),
        ({**HOST, "sec-fetch-site": "same-origin"}, 403),
        ({**HOST, "sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_a_page_in_a_browser_is_refused(headers: dict[str, str], status: int) -> None:
    with pytest.raises(Fault) as refused:
        check_browser(Request("GET", "/", "", headers, b""), GATE)
    assert status == refused.value.status


def test_who_is_no_browser_is_let_in() -> None:
    for headers in (HOST, {**HOST, "sec-fetch-site": "none"}):
        check_browser(Request("GET", "/", "", headers, b""), GATE)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("maxResults=0", "maxResults must be a whole number from 1 to 250, got 0"),
        ("maxResults=many", 'maxResults must be a whole number from 1 to 250, got "many"'),
        ("maxResults=" + "9" * 5000, "maxResults must be"),
        ("maxResults=%D9%A7", "maxResults must be"),
        ("maxResults=", "maxResults must be"),
        ("verificationState=MAYBE", "verificationState must be"),
        ("listSuppressedAlerts=yes", "listSuppressedAlerts must be"),
        ("listSuppressedAlerts=True", "listSuppressedAlerts must be"),
        ("thingname=t1", 'thingname is not a known key; did you mean "thingName"?'),
        ("nextToken=x", "nextToken must be the one of an answer before"),
        ("nextToken=WyJ4IiwgMV0%3D", "nextToken must be the one of an answer before"),
        ("securityProfileName=%20", "securityProfileName must be"),
        ("thingName=", "thingName must be"),
        ("%FF=%FF", "is not a known key"),
        ("x=1&maxResults=0", "x is not a known key"),
        ("x=1&maxResults=0", "; maxResults must be"),
    ],
)
def test_a_wrong_input_is_refused_with_a_sentence(violations: Path, query: str, message: str) -> None:
    status, name, said = fault_of(source_of(violations), "GET", "/active-violations", query)
    assert (400, "InvalidRequestException") == (status, name)
    assert message in said
    assert len(said) < 1000


@pytest.mark.parametrize(
    "text", [f"{NOW + 100}", "2027-01-15T08:01:40Z", "2027-01-15T09:01:40%2B01:00", "2027-01-15T08:01:40", "2027-01-16"]
)
def test_a_time_is_taken_as_boto3_the_cli_and_people_write_it(violations: Path, text: str) -> None:
    found = ask(source_of(violations), "GET", "/violation-events", f"startTime=0&endTime={text}")
    assert 13 == len(found["violationEvents"])


@pytest.mark.parametrize(
    "query",
    ["startTime=0", "startTime=now&endTime=1", "startTime=2&endTime=1", "", "startTime=0&endTime=" + "9" * 5000],
)
def test_a_time_that_is_none_is_refused(violations: Path, query: str) -> None:
    for path in ("/violation-events", "/metric-values"):
        status, _, said = fault_of(source_of(violations), "GET", path, f"{query}&thingName=t0&metricName=cpu_usage"
                                   if "metric" in path else query)  # fmt: skip
        assert (400, True) == (status, "Time" in said)


def test_a_time_from_beyond_the_calendar_is_no_failure_of_ours(violations: Path) -> None:
    """The database has no room for its hour."""
    status, _, said = fault_of(
        source_of(violations), "GET", "/metric-values",
        "thingName=t0&metricName=cpu_usage&startTime=0&endTime=" + "9" * 30,
    )  # fmt: skip
    assert (400, True) == (status, said.startswith("endTime must be a time of the years 1 to 9999"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0), ("1.5", 1.5), ("1970-01-01", 0.0), ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("0001-01-01T00:00:00Z", -62_135_596_800.0), ("now", "now"), ("", ""), ("-1", "-1"), ("1e9", "1e9"),
        ("nan", "nan"), ("\u0661", "\u0661"), ("1.5.5", "1.5.5"),
    ],
)  # fmt: skip
def test_a_time_is_read_in_utc_and_left_as_it_is_if_it_is_none(text: str, seconds: object) -> None:
    assert seconds == read_time(text)


def test_a_time_without_a_zone_is_utc_wherever_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert 0.0 == read_time("1970-01-01T00:00:00") == read_time("1970-01-01T05:30:00+05:30")
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"\xff", b'"x"', b"[" * 100_000, b"7", b"null", b'{"a": NaN}', b'{"a": "\\ud800"}', b"{} {}"]
)
def test_a_body_that_is_no_object_is_refused(violations: Path, body: bytes) -> None:
    """Half a surrogate pair is none: no database takes it, and it was a failure of ours."""
    validate = ("POST", "/security-profile-behaviors/validate", "", body)
    assert (400, "SerializationException") == fault_of(source_of(violations), *validate)[:2]


def test_an_empty_body_holds_nothing() -> None:
    assert {} == read_body(b"") == read_body(b" {} ")


def test_what_the_path_has_is_decoded_and_the_bodys_members_win(violations: Path) -> None:
    described = ask(source_of(violations), "GET", "/security-profiles/p%6Frts")
    assert "ports" == described["securityProfileName"]


def test_what_is_not_offered_or_unknown_or_needs_a_key_is_said(violations: Path) -> None:
    source = source_of(violations)
    refused = fault_of(source, "GET", "/mitigationactions/actions")
    assert (400, "ListMitigationActions is not offered by amazon-defender-detect") == (refused[0], refused[2])
    status, name, said = fault_of(source, "GET", "/" + "\u202e" * 5000)
    assert (404, "UnknownOperationException") == (status, name)
    assert said.isascii()
    assert len(said) < 1000
    assert 404 == fault_of(source, "DELETE", "/active-violations")[0]
    status, name, said = fault_of(source, "DELETE", "/security-profiles/ports")
    assert (403, "UnauthorizedException", True) == (status, name, "configure detect.api.keys" in said)


def test_what_is_no_request_over_http_is_not_answered(violations: Path) -> None:
    wire = Wire()
    asyncio.run(Api(source_of(violations), GATE)({"type": "lifespan"}, wire.receive, wire.send))
    assert [] == wire.sent

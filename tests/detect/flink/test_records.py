"""Records: what a rule of AWS IoT hands on, and what is none of it."""

from __future__ import annotations

import base64
import json
from typing import Any

import cbor2
import pytest

from defender_detect.flink.records import AHEAD, NOBODY, Record, Refused, key_of, read_record, time_of
from defender_detect.judge.topics import ReportTopic
from demo.flink.reports import make_record

NOW = 1_790_000_000.0
REPORT = b'{"header": {"report_id": 1, "version": "1.0"}}'


def read(line: str, arrived: float | None = None) -> Record | Refused:
    return read_record(line, NOW + AHEAD, arrived)


def line(**changed: Any) -> str:
    return json.dumps({"thing": "lathe-7", "t": NOW * 1000, "payload": base64.b64encode(REPORT).decode(), **changed})


def test_a_record_has_the_thing_the_brokers_time_and_the_reports_bytes() -> None:
    record = make_record("lathe-7", NOW + 0.25, REPORT)
    assert Record(ReportTopic("lathe-7", "json"), NOW + 0.25, REPORT) == read(record)
    assert ("lathe-7", NOW + 0.25) == (key_of(record), time_of(record))


def test_cbor_comes_through_base64_as_it_is() -> None:
    payload = cbor2.dumps({"header": {"report_id": 1, "version": "1.0"}})
    found = read(make_record("lathe-7", NOW, payload))
    assert Record(ReportTopic("lathe-7", "cbor"), NOW, payload) == found


@pytest.mark.parametrize(("given", "encoding"), [("json", "json"), ("cbor", "cbor"), (None, "json")])
def test_a_record_may_say_its_format(given: str | None, encoding: str) -> None:
    found = read(line(format=given))
    assert isinstance(found, Record)
    assert encoding == found.topic.encoding


def test_seconds_are_taken_to_the_last_bit_and_without_a_time_that_of_the_arrival() -> None:
    exact, arrived = read(line(t=NOW + 1 / 3)), read(line(t=None), NOW)
    assert isinstance(exact, Record)
    assert isinstance(arrived, Record)
    assert (NOW + 1 / 3, NOW) == (exact.time, arrived.time)


@pytest.mark.parametrize(
    ("record", "code", "words"),
    [
        ("", "NoEnvelope", "must be JSON with thing, t and payload"),
        ("no JSON", "NoEnvelope", "must be JSON"),
        ("[1, 2]", "NoEnvelope", "must be JSON"),
        (line(thing=None), "BadThingName", "thing must be 1 to 128 bytes"),
        (line(thing="a/b"), "BadThingName", 'got "a/b"'),
        (line(thing=7), "BadThingName", "got 7"),
        (line(t=None), "BadTime", "t must be milliseconds since 1970, got null"),
        (line(t="now"), "BadTime", 'got "now"'),
        (line(t=-1), "BadTime", "got -1"),
        (line(t=True), "BadTime", "got true"),
        (line(t=1e300), "BadTime", "t must be milliseconds"),
        (line(t=(NOW + AHEAD + 1) * 1000), "BadTime", "at most 3600 s ahead of this machine's clock"),
        (line(format="xml"), "NoEnvelope", 'format must be json or cbor, got "xml"'),
        (line(payload=None), "BadBase64", "it is missing"),
        (line(payload="é"), "BadBase64", "payload must be the report in base64"),
        (line(payload="abc"), "BadBase64", "payload must be the report in base64"),
        (line(payload=[1]), "BadBase64", "payload must be the report in base64"),
    ],
)
def test_what_is_no_record_is_refused_with_a_code_and_a_sentence(record: str, code: str, words: str) -> None:
    found = read(record)
    assert isinstance(found, Refused)
    assert code == found.code
    assert words in found.reason
    assert record == found.record


def test_a_refused_record_is_a_line_with_its_count() -> None:
    refused = Refused("BadTime", "why", "lathe-7", "{")
    expected = {"code": "BadTime", "reason": "why", "thing": "lathe-7", "record": "{", "count": 3}
    assert expected == json.loads(refused.line(3))


def test_records_without_a_thing_are_spread_over_a_bounded_number_of_keys() -> None:
    keys = {key_of(f"poison {number}") for number in range(2000)}
    assert NOBODY == len(keys)
    assert all(key.startswith("$") for key in keys)  # as no thing's name does
    assert 0.0 == time_of("poison")


@pytest.mark.parametrize("odd", ["\ud800", '{"thing": "\ud800"}', "\0", '{"thing": ' * 2000])
def test_nothing_that_a_stranger_sends_raises(odd: str) -> None:
    assert isinstance(read(odd), Refused)
    assert key_of(odd)
    assert 0.0 == time_of(odd)

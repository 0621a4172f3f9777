"""The replay: reports of any recording are read, those that are none are said, and time is the reports' own."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("msgspec")
pytest.importorskip("rich")

from defender_detect.ask.replay import Recorded, Unreadable, read_recorded, replay, tell_replay
from defender_detect.evaluate.detector import Attachment, Detector, Rules
from defender_detect.judge.reading import read_report
from defender_detect.judge.topics import Topics
from defender_detect.profiles import read_profile
from device_defender.report import Report

TIME = 1_700_000_000
DAY = 24 * 3600
TOPIC = "$aws/things/rpi-1/defender/metrics/json"
PROFILE = {
    "securityProfileName": "cpu",
    "behaviors": [
        {
            "name": "idle",
            "metric": "cpu_usage",
            "criteria": {"comparisonOperator": "less-than", "value": {"number": 50}},
        }
    ],
}


def report(cpu: float = 1, report_id: int = TIME) -> dict[str, Any]:
    header = {"report_id": report_id, "version": "1.0"}
    return {"header": header, "metrics": {}, "custom_metrics": {"cpu_usage": [{"number": cpu}]}}


def read(cpu: float = 1) -> Report:
    return read_report(report(cpu)).report


def recorded(cpu: float = 1, **fields: Any) -> dict[str, Any]:
    return {"thingName": "rpi-1", "timestamp": TIME, "report": report(cpu), **fields}


def read_one(entry: Any) -> Recorded | Unreadable:
    (found,) = read_recorded([entry if isinstance(entry, str) else json.dumps(entry)])
    return found


@pytest.fixture
def detector(tmp_path: Path) -> Detector:
    path = tmp_path / "cpu.json"
    path.write_text(json.dumps(PROFILE))
    return Detector(Rules([Attachment(read_profile(path))]))


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (TIME, TIME),
        (TIME + 0.5, TIME + 0.5),
        (TIME * 1000 + 250, TIME + 0.25),
        ("2023-11-14T22:13:20Z", TIME),
        ("2023-11-14T23:13:20+01:00", TIME),
        ("2023-11-14T22:13:20.250000Z+0000", TIME + 0.25),
        ("2023-11-14T23:13:20.250000Z+0100", TIME + 0.25),
        ("2023-11-14T17:13:20-0500", TIME),
    ],
)
def test_a_time_is_read_in_each_of_its_forms(time: Any, seconds: float) -> None:
    assert read_one(recorded(timestamp=time)) == Recorded(seconds, "rpi-1", read(), 1)


def test_a_local_time_is_read_as_one() -> None:
    found = read_one(recorded(timestamp="2023-11-14T12:00:00"))
    assert isinstance(found, Recorded)
    assert found.time == datetime.datetime(2023, 11, 14, 12).timestamp()  # noqa: DTZ001 - local, as it was written


@pytest.mark.parametrize("payload", [report(), json.dumps(report())], ids=["%J", "%j"])
def test_lines_of_mosquitto_sub_are_read(payload: Any) -> None:
    line = {
        "tst": "2023-11-14T22:13:20.250000Z+0000",
        "topic": TOPIC,
        "qos": 0,
        "retain": 0,
        "payloadlen": 1,
        "payload": payload,
    }
    assert read_one(line) == Recorded(TIME + 0.25, "rpi-1", read(), 1)


def test_without_a_time_it_is_that_of_the_report() -> None:
    assert read_one({"topic": TOPIC, "payload": report()}) == Recorded(TIME, "rpi-1", read(), 1)


def test_a_topic_of_ones_own_tells_the_thing() -> None:
    line = json.dumps({"topic": "fleet/rpi-2/reports", "payload": report()})
    assert list(read_recorded([line], Topics("fleet/{thing_name}/reports"))) == [Recorded(TIME, "rpi-2", read(), 1)]
    assert isinstance(read_one(line), Unreadable)


def test_short_names_are_read_too() -> None:
    short = {"hed": {"rid": TIME, "v": "1.0"}, "met": {}, "cmet": {"cpu_usage": [{"number": 1}]}}
    assert read_one(recorded(report=short)) == Recorded(TIME, "rpi-1", read(), 1)


NO_THING = "thingName must be 1 to 128 bytes without control characters, / + # and a $ at its beginning"
NO_REPORT = [
    ("\\xff", "it must be JSON: Expecting value at character 1"),
    ("{", "it must be JSON: Expecting property name enclosed in double quotes at character 2"),
    ("[" * 100_000, ""),
    ("null", "the line must be an object"),
    ("[]", "the line must be an object"),
    ({}, "the report must be an object, got null"),
    (recorded(report=[]), "the report must be an object, got an array of 0"),
    (recorded(report="{"), "it must be JSON: Expecting property name"),
    (recorded(report={}), "header is missing"),
    (recorded(thingName=None), "thingName is missing, and so is a topic that reports arrive on"),
    (recorded(thingName="a\x1b[31m"), NO_THING),
    (recorded(thingName=["a"]), NO_THING),
    *(
        (recorded(timestamp=time), "timestamp must be a number of milliseconds or seconds since 1970, or an ISO time")
        for time in (None, True, [], -1, float("nan"), float("inf"), 1e300, 10**400)
    ),
    (recorded(timestamp="yesterday"), "Invalid isoformat string: 'yesterday'"),
    (recorded(timestamp="0001-01-01T00:00:00"), ""),
]


@pytest.mark.parametrize(("line", "reason"), NO_REPORT, ids=range(len(NO_REPORT)))
def test_a_line_that_is_no_report_is_said(line: Any, reason: str) -> None:
    found = read_one(line)
    assert isinstance(found, Unreadable)
    assert found.line == 1
    assert found.reason.startswith(reason)


def test_what_is_left_out_of_a_report_is_said(detector: Detector) -> None:
    lines = [json.dumps(recorded(90)), json.dumps(recorded(1.5e300))]
    left_out, alarm, summary = tell_replay(detector, lines)
    rule = "its numbers must have at most 15 digits, got 1.5e+300"
    assert f"line 2: custom_metrics.cpu_usage[0] is left out: {rule}" == left_out
    assert "in-alarm" in alarm
    assert "2 reports of 1 things evaluated, 0 lines unreadable, 1 events" == summary


@pytest.mark.parametrize("thing", ["a@b.example", "edge.gw.1"])
def test_a_thing_whose_name_aws_takes_is_one(thing: str) -> None:
    assert thing == read_one(recorded(thingName=thing)).thing
    assert thing == read_one({"topic": TOPIC.replace("rpi-1", thing), "payload": report()}).thing


def test_empty_lines_are_none() -> None:
    assert list(read_recorded(["\n", "  \n", ""])) == []


def test_reports_are_evaluated_in_the_order_of_their_times(detector: Detector) -> None:
    unsorted = [Recorded(TIME + at, "rpi-1", read(cpu)) for at, cpu in [(900, 90), (300, 90), (600, 1), (0, 1)]]
    assert [(event.type, event.time - TIME) for event in replay(detector, unsorted)] == [
        ("in-alarm", 300),
        ("alarm-cleared", 600),
        ("in-alarm", 900),
    ]


def test_silence_of_two_days_makes_an_alarm_void(detector: Detector) -> None:
    reports = [Recorded(TIME, "rpi-1", read(90)), Recorded(TIME + 3 * DAY, "rpi-2", read(1))]
    assert [event.type for event in replay(detector, reports)] == ["in-alarm", "alarm-invalidated"]


def test_a_person_reads_what_came_of_it(detector: Detector) -> None:
    lines = [json.dumps(recorded(90)), "nothing", json.dumps(recorded(1, timestamp=TIME + 300)), "\n"]
    unreadable, alarm, cleared, summary = tell_replay(detector, lines)
    assert unreadable == "line 2 is no report: it must be JSON: Expecting value at character 1"
    assert alarm.endswith(
        '  rpi-1: in-alarm: idle of cpu: cpu_usage is {"number": 90}, normal is less-than {"number": 50}'
    )
    assert "  rpi-1: alarm-cleared: " in cleared
    assert summary == "2 reports of 1 things evaluated, 1 lines unreadable, 2 events"

"""The replay: reports of any recording are read, those that are none are said, and time is the reports' own."""

from __future__ import annotations

import datetime
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("msgspec")
pytest.importorskip("rich")

from defender_detect.ask.replay import Recorded, Recording, Unreadable, read_recorded, replay, tell_replay
from defender_detect.evaluate import detector as module
from defender_detect.evaluate.alarms import is_silent
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
    (found,) = read_recorded([(entry if isinstance(entry, str) else json.dumps(entry)).encode()])
    return found


def recording_of(*lines: str | bytes) -> Recording:
    return Recording(io.BytesIO(b"\n".join(each if isinstance(each, bytes) else each.encode() for each in lines)))


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
    assert list(read_recorded([line.encode()], Topics("fleet/{thing_name}/reports"))) == [
        Recorded(TIME, "rpi-2", read(), 1)
    ]
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
    ({}, "thingName is missing, and so is a topic that reports arrive on"),
    ({"thingName": "rpi-1"}, "the report must be an object, got null"),
    ({"thingName": "rpi-1", "report": None}, "the report must be an object, got null"),
    (recorded(report="x" * 200_000), "the payload must be at most 131072 bytes, got 200000"),
    (recorded(report=[]), "the report must be an object, got an array of 0"),
    (recorded(report="{"), "the payload must be JSON: Expecting property name"),
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
    left_out, alarm, summary = tell_replay(detector, recording_of(*lines))
    rule = "its numbers must have at most 15 digits, got 1.5e+300"
    assert f"line 2: custom_metrics.cpu_usage[0] is left out: {rule}" == left_out
    assert "in-alarm" in alarm
    assert "2 reports of 1 things evaluated, 0 lines unreadable, 1 events" == summary


@pytest.mark.parametrize("thing", ["a@b.example", "edge.gw.1"])
def test_a_thing_whose_name_aws_takes_is_one(thing: str) -> None:
    assert thing == read_one(recorded(thingName=thing)).thing
    assert thing == read_one({"topic": TOPIC.replace("rpi-1", thing), "payload": report()}).thing


def test_empty_lines_are_none() -> None:
    assert list(read_recorded([b"\n", b"  \n", b"\r\n", b""])) == []


def test_reports_are_evaluated_in_the_order_of_their_times(detector: Detector) -> None:
    unsorted = [recorded(cpu, timestamp=TIME + at) for at, cpu in [(900, 90), (300, 90), (600, 1), (0, 1)]]
    recording = recording_of(*map(json.dumps, unsorted))
    assert [] == list(recording.read())
    assert [(event.type, event.time - TIME) for event in replay(detector, recording)] == [
        ("in-alarm", 300),
        ("alarm-cleared", 600),
        ("in-alarm", 900),
    ]


def test_silence_of_two_days_makes_an_alarm_invalid(detector: Detector) -> None:
    reports = [Recorded(TIME, "rpi-1", read(90)), Recorded(TIME + 3 * DAY, "rpi-2", read(1))]
    assert [event.type for event in replay(detector, reports)] == ["in-alarm", "alarm-invalidated"]


def test_a_person_reads_what_came_of_it(detector: Detector) -> None:
    lines = [json.dumps(recorded(90)), "nothing", json.dumps(recorded(1, timestamp=TIME + 300)), "\n"]
    unreadable, alarm, cleared, summary = tell_replay(detector, recording_of(*lines))
    assert unreadable == "line 2 is no report: it must be JSON: Expecting value at character 1"
    assert alarm.endswith("  rpi-1: in-alarm: idle of cpu: cpu_usage is 90, normal is below 50")
    assert "  rpi-1: alarm-cleared: " in cleared
    assert summary == "2 reports of 1 things evaluated, 1 lines unreadable, 2 events"


def test_what_is_no_utf_8_or_half_a_surrogate_pair_spoils_no_other_line(detector: Detector) -> None:
    half = json.dumps(recorded(90, note="\ud800"))
    latin = json.dumps(recorded(90, note="caf?", thingName="rpi-2"), ensure_ascii=False).encode().replace(b"?", b"\xe9")
    lines = [b"\xef\xbb\xbf" + half.encode(), latin, b"\xff", json.dumps(recorded(1, thingName="rpi-3")).encode()]
    told = list(tell_replay(detector, recording_of(*lines)))
    assert told[0].startswith("line 3 is no report: it must be JSON")
    assert told[-1] == "3 reports of 3 things evaluated, 1 lines unreadable, 2 events"


def test_a_replay_looks_at_each_thing_for_its_own_reports_and_not_for_everybodys(
    detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was quadratic: every report looked at every thing that was in alarm."""
    looks = []
    monkeypatch.setattr(module, "is_silent", lambda reported, now: looks.append(1) or is_silent(reported, now))
    things, turns = 500, 4
    reports = [
        Recorded(TIME + turn * 300 + number / 10, f"rpi-{number}", read(90))
        for turn in range(turns)
        for number in range(things)
    ]
    assert things == len(list(replay(detector, reports)))
    assert len(looks) <= 2 * things * turns


def test_a_recording_of_any_length_takes_a_few_bytes_a_report() -> None:
    lines = [json.dumps(recorded(90, timestamp=TIME - number, note="x" * 1000)) for number in range(3_000)]
    recording = recording_of(*lines)
    tracemalloc.start()
    try:
        assert [] == list(recording.read())
        times = [each.time for each in recording]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 3_000 == len(recording)
    assert sorted(times) == times
    assert peak < 200 * 3_000  # of more than 1,000 each in the file


def test_reports_of_more_things_than_are_remembered_are_said(detector: Detector) -> None:
    detector.most_things = 2
    lines = [json.dumps(recorded(90, thingName=f"rpi-{number % 3}", timestamp=TIME + number)) for number in range(6)]
    *events, refused, summary = tell_replay(detector, recording_of(*lines))
    assert 2 == len(events)
    assert refused == "2 reports not evaluated: detect.most_things allows 2 things"
    assert summary == "6 reports of 3 things evaluated, 0 lines unreadable, 2 events"

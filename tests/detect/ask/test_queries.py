"""What Detect keeps is told in the API's shapes, and to people in tables that nothing in them can break."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from defender_detect.ask.queries import (
    answer,
    as_json,
    as_table,
    list_active_violations,
    list_metric_values,
    list_things,
    list_violation_events,
    things_as_json,
)
from defender_detect.errors import NothingKept, StoreError
from defender_detect.evaluate.alarms import Event
from defender_detect.store.reader import Reader
from defender_detect.store.store import Store
from tests.detect.store.test_store import CRITERIA, NOW, event

HOSTILE = "\x1b[31m[bold]red[/bold]\n"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Two things, of which one is in alarm twice."""
    with Store(tmp_path, clock=lambda: NOW) as kept:
        kept.add("rpi-1", NOW, {"cpu_usage": 99.5, "aws:listening-tcp-ports": (22, 80)}, [event()], report_id=7)
        ports = {"comparisonOperator": "in-port-set", "value": {"ports": [22]}}
        other = {"violation_id": "ports", "behavior": "b2", "criteria": ports, "kind": "ports", "suppressed": True}
        kept.add("rpi-1", NOW + 300, {"cpu_usage": 12}, [event(time=NOW + 300, value=(22, 80), **other)], report_id=8)
        kept.add("rpi-2", NOW, {"names": (HOSTILE, "sshd")}, [event("alarm-cleared", "rpi-2", value=None)])
        kept.flush()
        yield Reader(tmp_path)


def test_active_violations_have_the_apis_shape(reader: Reader) -> None:
    answer = list_active_violations(reader)
    assert {
        "violationId": "id-rpi-1",
        "thingName": "rpi-1",
        "securityProfileName": "cpu-usage",
        "behavior": {"name": "cpu", "metric": "cpu_usage", "criteria": CRITERIA, "suppressAlerts": False},
        "lastViolationValue": {"number": 99.5},
        "lastViolationTime": NOW,
        "violationStartTime": NOW,
        "verificationState": "UNKNOWN",
    } == answer["activeViolations"][0]
    assert {"ports": [22, 80]} == answer["activeViolations"][1]["lastViolationValue"]
    assert 2 == len(list_active_violations(reader, "rpi-1", "cpu-usage")["activeViolations"])
    assert {"activeViolations": []} == list_active_violations(reader, "rpi-2")
    assert answer == json.loads(json.dumps(answer))


def test_violation_events_have_the_apis_shape_and_the_newest_is_first(reader: Reader) -> None:
    answer = list_violation_events(reader, NOW, NOW + 301)
    assert [NOW + 300, NOW, NOW] == [each["violationEventTime"] for each in answer["violationEvents"]]
    (cleared,) = list_violation_events(reader, 0, NOW * 2, thing="rpi-2")["violationEvents"]
    assert {
        "violationId": "id-rpi-2",
        "thingName": "rpi-2",
        "securityProfileName": "cpu-usage",
        "behavior": {"name": "cpu", "metric": "cpu_usage", "criteria": CRITERIA, "suppressAlerts": False},
        "metricValue": {},
        "violationEventType": "alarm-cleared",
        "violationEventTime": NOW,
        "verificationState": "UNKNOWN",
    } == cleared


def test_metric_values_have_the_apis_shape(reader: Reader) -> None:
    expected = [{"timestamp": NOW, "value": {"number": 99.5}}, {"timestamp": NOW + 300, "value": {"number": 12}}]
    assert {"metricDatumList": expected} == list_metric_values(reader, "rpi-1", "cpu_usage", 0, NOW * 2)
    ports = list_metric_values(reader, "rpi-1", "aws:listening-tcp-ports", 0, NOW * 2)
    assert {"metricDatumList": [{"timestamp": NOW, "value": {"ports": [22, 80]}}]} == ports
    assert {"metricDatumList": []} == list_metric_values(reader, "rpi-1", "cpu_usage", 0, 1)


def test_things_are_told_with_their_last_report_and_alarms(reader: Reader) -> None:
    assert {
        "things": [
            {"thingName": "rpi-1", "lastReportId": 8, "lastReportTime": NOW + 300, "activeViolations": 2},
            {"thingName": "rpi-2", "lastReportId": None, "lastReportTime": NOW, "activeViolations": 0},
        ]
    } == list_things(reader)


@pytest.mark.parametrize(
    ("thing", "metric", "expected"),
    [
        ("rpi1", "cpu_usage", "nothing is kept of the thing rpi1: did you mean rpi-1?"),
        ("xyz", "cpu_usage", "nothing is kept of the thing xyz: the things are rpi-1, rpi-2"),
        ("rpi-1", "cpu_usgae", "cpu_usgae is not kept of rpi-1: did you mean cpu_usage?"),
        ("rpi-2", "zzz", "zzz is not kept of rpi-2: its metrics are names"),
    ],
)
def test_a_name_of_which_nothing_is_kept_is_a_sentence(reader: Reader, thing: str, metric: str, expected: str) -> None:
    with pytest.raises(NothingKept) as caught:
        list_metric_values(reader, thing, metric, 0, NOW * 2)
    assert expected == str(caught.value)


def test_a_name_that_a_device_chose_cannot_steer_a_terminal_by_a_suggestion(tmp_path: Path) -> None:
    with Store(tmp_path) as kept:
        for name in ("rpi-\u202e1", "door\u2067"):
            kept.add(name, NOW, {"cpu_usage": 1}, report_id=1)
        kept.flush()
    for asked in ("rpi-1", "xyz", "\u202e"):
        with pytest.raises(NothingKept) as caught:
            list_metric_values(Reader(tmp_path), asked, "cpu_usage", 0, NOW * 2)
        assert str(caught.value).isprintable()
        assert "\\u202e" in str(caught.value)


def active(reader: Reader) -> list[dict[str, Any]]:
    return list_active_violations(reader)["activeViolations"]  # type: ignore[no-any-return]


# What a person or a program asks

TODAY = time.time()
LESS_THAN_50 = {"comparisonOperator": "less-than", "value": {"number": 50}}


@pytest.fixture
def kept(tmp_path: Path) -> Reader:
    """What is kept: a thing whose alarm is on since two days ago, and one that is calm."""
    store = Store(tmp_path / "state")
    began = TODAY - 2 * 24 * 3600
    began_then = Event("v-1", "rpi-1", "cpu", "idle", "cpu_usage", "in-alarm", began, 90, LESS_THAN_50, "number", False)
    store.add("rpi-1", began, {"cpu_usage": 90}, [began_then], b"", 1)
    store.add("rpi-1", TODAY, {"cpu_usage": 91}, (), b"", 2)
    store.add("rpi-2", TODAY, {"cpu_usage": 3}, (), b"", 1)
    store.close()
    return Reader(tmp_path / "state")


def test_things_are_told_a_program_one_by_one_as_all_at_once(reader: Reader, tmp_path: Path) -> None:
    assert as_json(list_things(reader)) == "".join(things_as_json(reader))
    Store(tmp_path / "new").close()
    assert as_json({"things": []}) == "".join(things_as_json(Reader(tmp_path / "new")))


def test_things_are_listed(kept: Reader) -> None:
    found = answer(kept, "things", TODAY)
    assert [(each["thingName"], each["activeViolations"]) for each in found["things"]] == [("rpi-1", 1), ("rpi-2", 0)]
    assert [line.split()[0] for line in as_table("things", found).splitlines()] == ["THING", "rpi-1", "rpi-2"]


def test_alarms_that_are_on_are_told_however_long_they_are(kept: Reader) -> None:
    found = answer(kept, "violations", TODAY, active=True)
    assert [each["violationId"] for each in found["activeViolations"]] == ["v-1"]
    assert "rpi-1" in as_table("violations", found)


@pytest.mark.parametrize(("days", "events"), [(1, 0), (3, 1)])
def test_events_are_those_of_so_many_days(days: float, events: int, kept: Reader) -> None:
    found = answer(kept, "violations", TODAY, days)
    assert len(found["violationEvents"]) == events
    assert as_table("violations", found).startswith("TIME" if events else "no violation in this time\n")


@pytest.mark.parametrize(("days", "values"), [(1, [91]), (3, [90, 91])])
def test_metrics_are_those_of_so_many_days(days: float, values: list[float], kept: Reader) -> None:
    found = answer(kept, "metrics", TODAY, days, thing="rpi-1", metric="cpu_usage")
    assert [each["value"]["number"] for each in found["metricDatumList"]] == values
    assert as_table("metrics", found).count("\n") >= len(values)


@pytest.mark.parametrize("active", [True, False])
def test_violations_of_a_thing_that_never_reported_are_an_error(active: bool, kept: Reader) -> None:
    assert not any(answer(kept, "violations", TODAY, thing="rpi-2", active=active).values())
    with pytest.raises(NothingKept, match=r"^nothing is kept of the thing rpi-3: did you mean rpi-"):
        answer(kept, "violations", TODAY, thing="rpi-3", active=active)


@pytest.mark.parametrize(
    ("thing", "metric", "message"),
    [
        ("rpi1", "cpu_usage", "nothing is kept of the thing rpi1: did you mean rpi-1?"),
        ("door", "cpu_usage", "nothing is kept of the thing door: the things are rpi-1, rpi-2"),
        ("rpi-1", "cpu_usge", "cpu_usge is not kept of rpi-1: did you mean cpu_usage?"),
    ],
)
def test_a_wrong_name_is_said_with_a_suggestion(thing: str, metric: str, message: str, kept: Reader) -> None:
    with pytest.raises(NothingKept) as raised:
        answer(kept, "metrics", TODAY, thing=thing, metric=metric)
    assert str(raised.value) == message


def test_json_is_json(kept: Reader) -> None:
    found = answer(kept, "violations", TODAY, 3)
    assert json.loads(as_json(found)) == found


def test_where_nothing_is_kept_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nothing is kept in .*amazon-defender-detect has not run with it yet"):
        answer(Reader(tmp_path), "things", TODAY)

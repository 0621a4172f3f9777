"""What Detect keeps is told in the API's shapes, and to people in tables that nothing in them can break."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from defender_detect.ask import tables
from defender_detect.ask.queries import (
    answer,
    as_json,
    as_table,
    list_active_violations,
    list_metric_values,
    list_things,
    list_violation_events,
)
from defender_detect.ask.tables import draw_sparkline
from defender_detect.errors import NothingKept, StoreError
from defender_detect.evaluate.alarms import Event
from defender_detect.evaluate.shapes import kind_of, metric_value
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


@pytest.mark.parametrize(
    ("metric", "values", "kind"),
    [
        ("aws:listening-tcp-ports", [()], "ports"),
        ("aws:all-bytes-in", [5], "count"),
        ("mine", [5.5], "number"),
        ("mine", [(), (1, 2)], "numbers"),
        ("mine", [(), ("sshd",)], "strings"),
        ("mine", [("10.0.0.1", "2001:db8::1")], "cidrs"),
        ("mine", [("10.0.0.1", "sshd")], "strings"),
        ("mine", [()], "strings"),
        ("mine", [], "strings"),
    ],
)
def test_a_metrics_kind_is_told_by_its_name_or_its_values(metric: str, values: Any, kind: str) -> None:
    assert kind == kind_of(metric, values)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [("count", 5.0, 5), ("count", 5.5, 5.5), ("number", 5.0, 5.0), ("ports", (22,), [22]), ("strings", (), [])],
)
def test_a_value_has_the_key_of_its_kind(kind: str, value: Any, expected: Any) -> None:
    assert {kind: expected} == metric_value(kind, value)
    assert type(expected) is type(metric_value(kind, value)[kind])


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], ""),
        ([(0, 5)], "▁"),
        ([(0, 5), (1, 5)], "▁▁"),
        ([(0, 0), (1, 1), (2, 2), (3, 3)], "▁▃▆█"),
        ([(0, 0), (1, 1), (10, 4)], "▃ █"),
        ([(0, -1e308), (1, 1e308)], "▁█"),
        ([(0, 0), (0, 7)], "█ "),
    ],
)
def test_a_sparkline_shows_low_high_and_where_there_is_nothing(points: Any, expected: str) -> None:
    assert expected == draw_sparkline(points)


def test_a_sparkline_is_no_wider_than_a_line_and_loses_no_peak() -> None:
    line = draw_sparkline([(second, 100 if second == 777 else 1) for second in range(4032)])
    assert (60, 1) == (len(line), line.count("█"))


def test_tables_are_aligned_and_say_in_words_what_is_not_normal(reader: Reader) -> None:
    lines = tables.violations_table(list_active_violations(reader)).splitlines()
    assert 3 == len(lines)
    assert ["THING", "ALARM", "BEHAVIOR", "SINCE", "LAST", "SEEN"] == lines[0].split()
    words = lines[0].index("ALARM")
    assert lines[1][words:].startswith("cpu_usage is 99.5, normal is at most 75  ")
    assert lines[2][words:].startswith("cpu_usage has 80, which is not normal")
    assert "b2 of cpu-usage" in lines[2]
    events = tables.events_table(list_violation_events(reader, 0, NOW * 2)).splitlines()
    assert 4 == len(events)
    assert "alarm-cleared" in events[2] + events[3]
    things = tables.things_table(list_things(reader)).splitlines()
    assert ["THING", "LAST", "REPORT", "ALARMS"] == things[0].split()
    assert ("2", "-") == (things[1].split()[-1], things[2].split()[-1])


def test_a_metrics_table_has_a_sparkline_and_the_newest_values(reader: Reader) -> None:
    text = tables.metrics_table(list_metric_values(reader, "rpi-1", "cpu_usage", 0, NOW * 2))
    assert text.startswith("█▁\nvalues from 12 to 99.5 in 2 reports\n")
    assert ["99.5", "12"] == [line.split()[-1] for line in text.splitlines()[-2:]]


def test_nothing_is_said_in_words() -> None:
    assert "no alarm is on\n" == tables.violations_table({"activeViolations": []})
    assert "no violation in this time\n" == tables.events_table({"violationEvents": []})
    assert "no value in this time\n" == tables.metrics_table({"metricDatumList": []})
    assert "no thing has reported yet\n" == tables.things_table({"things": []})


def test_what_a_thing_reports_can_neither_steer_the_terminal_nor_break_a_table(reader: Reader) -> None:
    text = tables.metrics_table(list_metric_values(reader, "rpi-2", "names", 0, NOW * 2))
    assert "\x1b" not in text
    assert '"\\u001b[31m[bold]red[/bold]\\n", sshd' in text
    assert 6 == len(text.splitlines())
    answers = {
        "things": [{"thingName": f"{HOSTILE}\u202e", "lastReportTime": NOW, "activeViolations": 1}],
        "activeViolations": [{**violation, "thingName": f"{HOSTILE}\u202e"} for violation in active(reader)],
    }
    for draw in (tables.things_table, tables.violations_table):
        for width in (None, 80):
            text = draw(answers, width)
            assert all(line.isprintable() for line in text.splitlines())
            assert "\\x1b[31m[bold]red[/bold]\\n\\u202e" in text.replace("\n", "").replace(" ", "")


def active(reader: Reader) -> list[dict[str, Any]]:
    return list_active_violations(reader)["activeViolations"]  # type: ignore[no-any-return]


def test_where_a_table_does_not_fit_there_is_a_line_for_each_alarm(reader: Reader) -> None:
    text = tables.violations_table(list_active_violations(reader), 80)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    begun = [line for line in lines if not line.startswith(" ")]
    assert 2 == len(begun)
    assert begun[0].startswith(tables.show_time(NOW) + "  rpi-1: cpu_usage is 99.5, normal is at most 75")
    assert "(cpu of cpu-usage), seen until" in " ".join(text.split())
    events = tables.events_table(list_violation_events(reader, 0, NOW * 2), 80).splitlines()
    assert max(map(len, events)) <= 80
    assert 3 == sum(not line.startswith(" ") for line in events)
    assert "THING" in tables.violations_table(list_active_violations(reader), 200)


def test_a_long_name_is_whole_in_the_table_of_things() -> None:
    name = "camera-" * 18
    text = tables.things_table({"things": [{"thingName": name, "lastReportTime": NOW, "activeViolations": 0}]}, 60)
    assert name == "".join(line.split("  ")[0].strip() for line in text.splitlines()[1:])


def test_a_table_fits_a_terminal_and_is_whole_in_a_pipe(reader: Reader) -> None:
    answer = list_active_violations(reader)
    assert max(map(len, tables.violations_table(answer, 80).splitlines())) <= 80
    assert "…" not in tables.violations_table(answer)


def test_a_long_value_is_cut_in_a_table() -> None:
    assert "none" == tables.show_value({"ports": []})
    assert 59 == len(tables.show_value({"ports": list(range(1000))}))


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

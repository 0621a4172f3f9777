"""The questions: what is kept, for people and for programs; a thing that never was is said."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

pytest.importorskip("msgspec")
pytest.importorskip("rich")

from defender_detect.ask.questions import answer, as_json, as_table
from defender_detect.errors import NothingKept, StoreError
from defender_detect.evaluate.alarms import Event
from defender_detect.store.reader import Reader
from defender_detect.store.store import Store

NOW = time.time()
CRITERIA = {"comparisonOperator": "less-than", "value": {"number": 50}}


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """What is kept: a thing whose alarm is on since two days ago, and one that is calm."""
    store = Store(tmp_path / "state")
    began = NOW - 2 * 24 * 3600
    event = Event("v-1", "rpi-1", "cpu", "idle", "cpu_usage", "in-alarm", began, 90, CRITERIA, "number", False)
    store.add("rpi-1", began, {"cpu_usage": 90}, [event], b"", 1)
    store.add("rpi-1", NOW, {"cpu_usage": 91}, (), b"", 2)
    store.add("rpi-2", NOW, {"cpu_usage": 3}, (), b"", 1)
    store.close()
    return Reader(tmp_path / "state")


def test_things_are_listed(reader: Reader) -> None:
    found = answer(reader, "things", NOW)
    assert [(each["thingName"], each["activeViolations"]) for each in found["things"]] == [("rpi-1", 1), ("rpi-2", 0)]
    assert [line.split()[0] for line in as_table("things", found).splitlines()] == ["THING", "rpi-1", "rpi-2"]


def test_alarms_that_are_on_are_told_however_long_they_are(reader: Reader) -> None:
    found = answer(reader, "violations", NOW, active=True)
    assert [each["violationId"] for each in found["activeViolations"]] == ["v-1"]
    assert "rpi-1" in as_table("violations", found)


@pytest.mark.parametrize(("days", "events"), [(1, 0), (3, 1)])
def test_events_are_those_of_so_many_days(days: float, events: int, reader: Reader) -> None:
    found = answer(reader, "violations", NOW, days)
    assert len(found["violationEvents"]) == events
    assert as_table("violations", found).startswith("TIME" if events else "no violation in this time\n")


@pytest.mark.parametrize(("days", "values"), [(1, [91]), (3, [90, 91])])
def test_metrics_are_those_of_so_many_days(days: float, values: list[float], reader: Reader) -> None:
    found = answer(reader, "metrics", NOW, days, thing="rpi-1", metric="cpu_usage")
    assert [each["value"]["number"] for each in found["metricDatumList"]] == values
    assert as_table("metrics", found).count("\n") >= len(values)


@pytest.mark.parametrize("active", [True, False])
def test_violations_of_a_thing_that_never_reported_are_an_error(active: bool, reader: Reader) -> None:
    assert not any(answer(reader, "violations", NOW, thing="rpi-2", active=active).values())
    with pytest.raises(NothingKept, match=r"^nothing is kept of the thing rpi-3: did you mean rpi-"):
        answer(reader, "violations", NOW, thing="rpi-3", active=active)


@pytest.mark.parametrize(
    ("thing", "metric", "message"),
    [
        ("rpi1", "cpu_usage", "nothing is kept of the thing rpi1: did you mean rpi-1?"),
        ("door", "cpu_usage", "nothing is kept of the thing door: the things are rpi-1, rpi-2"),
        ("rpi-1", "cpu_usge", "cpu_usge is not kept of rpi-1: did you mean cpu_usage?"),
    ],
)
def test_a_wrong_name_is_said_with_a_suggestion(thing: str, metric: str, message: str, reader: Reader) -> None:
    with pytest.raises(NothingKept) as raised:
        answer(reader, "metrics", NOW, thing=thing, metric=metric)
    assert str(raised.value) == message


def test_json_is_json(reader: Reader) -> None:
    found = answer(reader, "violations", NOW, 3)
    assert json.loads(as_json(found)) == found


def test_where_nothing_is_kept_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nothing is kept in .*amazon-defender-detect has not run with it yet"):
        answer(Reader(tmp_path), "things", NOW)

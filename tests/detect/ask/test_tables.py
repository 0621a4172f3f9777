"""Answers as tables that a person reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from defender_detect.ask import tables
from defender_detect.ask.queries import (
    list_active_violations,
    list_metric_values,
    list_things,
    list_violation_events,
)
from defender_detect.ask.tables import draw_sparkline
from defender_detect.evaluate.alarms import Event
from defender_detect.store.reader import Reader
from defender_detect.store.store import Store
from tests.detect.ask.test_queries import HOSTILE, LESS_THAN_50, TODAY, active
from tests.detect.ask.test_queries import reader as reader
from tests.detect.store.test_store import NOW


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
    assert "in 1 report\n" in tables.metrics_table({"metricDatumList": [{"timestamp": NOW, "value": {"number": 5}}]})
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

"""The replay: recorded reports evaluated as if they came now, to try a profile on yesterday's data."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from defender_detect.alerts.log import describe_alert
from defender_detect.ask.tables import show_time
from defender_detect.evaluate.alarms import Event
from defender_detect.evaluate.detector import Detector
from defender_detect.judge.reading import read_report
from defender_detect.judge.topics import NAME_RULE, Topics, may_report
from defender_detect.judge.verdict import summarize
from device_defender.report import Malformed, Report

MILLISECONDS = 1e11  # a time above this is in milliseconds: in seconds it would be the year 5138
LATEST = 1e14  # milliseconds
RESERVED = Topics()


class Recorded(NamedTuple):
    """A report that was recorded; `time` is in seconds since the epoch."""

    time: float
    thing: str
    report: Report
    line: int = 0
    left_out: str = ""  # custom metrics, and why


class Unreadable(NamedTuple):
    """A line that holds no report, and why."""

    line: int
    reason: str


def read_recorded(lines: Iterable[str], topics: Topics = RESERVED) -> Iterator[Recorded | Unreadable]:
    """Read JSON lines: {"thingName", "timestamp", "report"}, or what `mosquitto_sub -F %J` (or %j) prints.

    `topics` are those that the reports were published on. Without a time, that of the report is taken from its id,
    which amazon-defender-publisher makes of the time.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _read(json.loads(line), topics)._replace(line=number)
            except json.JSONDecodeError as error:
                yield Unreadable(number, f"it must be JSON: {error.msg} at character {error.pos + 1}")
            except (Malformed, ValueError, OverflowError, RecursionError) as error:
                yield Unreadable(number, str(error))


def replay(detector: Detector, recorded: Iterable[Recorded]) -> Iterator[Event]:
    """Evaluate reports in the order of their times, and yield the alarms that begin and end."""
    for each in sorted(recorded, key=lambda each: each.time):
        for silent in detector.expire(each.time):
            yield from silent.events
        for finding in detector.observe(each.thing, each.report, each.time):
            yield from finding.events


def tell_replay(detector: Detector, lines: Iterable[str], topics: Topics = RESERVED) -> Iterator[str]:
    """Yield what a person reads of a replay: the lines that are no reports, the alarms, and how many there were."""
    recorded = list(read_recorded(lines, topics))
    reports = [each for each in recorded if isinstance(each, Recorded)]
    for each in recorded:
        if isinstance(each, Unreadable):
            yield f"line {each.line} is no report: {each.reason}"
        elif each.left_out:
            yield f"line {each.line}: {each.left_out}"
    events = 0
    for event in replay(detector, reports):
        events += 1
        yield f"{show_time(event.time)}  {describe_alert(event)}"
    things = len({each.thing for each in reports})
    unreadable = len(recorded) - len(reports)
    yield f"{len(reports)} reports of {things} things evaluated, {unreadable} lines unreadable, {events} events"


def _read(entry: Any, topics: Topics) -> Recorded:
    if not isinstance(entry, dict):
        raise Malformed("the line", "must be an object")
    report = entry.get("report", entry.get("payload"))
    found, left_out = read_report(json.loads(report) if isinstance(report, str) else report)
    return Recorded(_time_of(entry, found), _thing_of(entry, topics), found, left_out=summarize(left_out))


def _thing_of(entry: Mapping[str, Any], topics: Topics) -> str:
    topic = topics.parse(str(entry.get("topic")), b"{")
    thing = entry.get("thingName") or (topic.thing if topic else None)
    if thing is None:
        raise Malformed("thingName", "is missing, and so is a topic that reports arrive on")
    if not may_report(thing):
        raise Malformed("thingName", f"must be {NAME_RULE}")
    return str(thing)


def _time_of(entry: Mapping[str, Any], report: Report) -> float:
    time = entry.get("timestamp", entry.get("tst", report.header.report_id))
    if isinstance(time, str):
        return datetime.datetime.fromisoformat(_as_python_reads_it(time)).timestamp()
    if isinstance(time, bool) or not isinstance(time, (int, float)) or not 0 <= time <= LATEST:
        raise Malformed("timestamp", "must be a number of milliseconds or seconds since 1970, or an ISO time")
    return time / 1000 if time > MILLISECONDS else float(time)


def _as_python_reads_it(time: str) -> str:
    """Return an ISO time in the form that Python 3.9 knows; mosquitto_sub ends one with Z+0000."""
    time = time.replace("Z+", "+").replace("Z-", "-")
    time = time[:-1] + "+00:00" if time.endswith("Z") else time
    return time[:-2] + ":" + time[-2:] if time[-5:-4] in ("+", "-") and time[-3] != ":" else time

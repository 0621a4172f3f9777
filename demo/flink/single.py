"""What one process gives for the same records: the Detector, as `amazon-defender-detect` has it, without a broker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from defender_detect.evaluate.detector import Detector, Finding
from defender_detect.evaluate.shapes import alert_body
from defender_detect.flink.records import Record, read_record
from defender_detect.flink.rules import parse_rules
from defender_detect.judge.verdict import Accepted, LastReports, judge

FOREVER = 4e9  # seconds; beyond every report


def evaluate(records: Iterable[str], documents: Sequence[tuple[float, str]]) -> Iterator[str]:
    """Yield the alarms of records in the order of their times, each a line of JSON.

    `documents` are rules, each with the time from which on it holds; the first holds from the beginning.
    """
    (_, first), *others = documents
    detector, last = Detector(parse_rules(first, 0.0)), LastReports()
    for line in records:
        record = read_record(line, FOREVER)
        if not isinstance(record, Record):
            continue
        while others and others[0][0] <= record.time:
            since, document = others.pop(0)
            yield from _alarms(detector.replace(parse_rules(document, since), since))
        yield from _alarms(_silent(detector, record.time))
        yield from _alarms(_report(detector, last, record))
    yield from _alarms(_silent(detector, FOREVER))


def read_lines(directory: Path) -> list[str]:
    """Return the lines of all files that a sink of Flink's has finished."""
    files = [path for path in directory.rglob("*") if path.is_file() and not path.name.startswith((".", "_"))]
    return [line for path in files for line in path.read_text().splitlines()]


def in_order(alarms: Iterable[str]) -> list[str]:
    """Return alarms so that two lists of the same are equal; workers put them out in any order."""
    return sorted(json.dumps(json.loads(line), sort_keys=True) for line in alarms)


def _report(detector: Detector, last: LastReports, record: Record) -> Iterable[Finding]:
    before = last.find(record.topic.thing)
    verdict = judge(record.topic, record.payload, record.time, before)
    if not isinstance(verdict, Accepted):
        return ()
    last.remember(verdict, record.time)
    finding = detector.observe(verdict.thing, verdict.report, record.time)
    return () if finding is None else (finding,)


def _silent(detector: Detector, now: float) -> Iterator[Finding]:
    yield from detector.find_silent(now)
    yield from detector.expire(now)


def _alarms(findings: Iterable[Finding]) -> Iterator[str]:
    return (json.dumps(alert_body(event)) for finding in findings for event in finding.events)

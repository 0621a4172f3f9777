"""The exposition: what Detect counted, in OpenMetrics, for Prometheus; violations by CloudWatch's names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from defender_detect.console.sight import Sight
from defender_detect.evaluate.alarms import ALARM_CLEARED, ALARM_INVALIDATED, IN_ALARM
from defender_detect.store.batch import (
    ACCEPTED,
    ALERTS_DROPPED,
    ALERTS_FAILED,
    ALERTS_SENT,
    ALERTS_WAITING,
    EVALUATION_SECONDS,
    REJECTED,
)

OPEN_METRICS = "application/openmetrics-text"  # what Prometheus says that it takes, and what others may not know
CONTENT_TYPES = {
    True: f"{OPEN_METRICS}; version=1.0.0; charset=utf-8",
    False: "text/plain; version=0.0.4; charset=utf-8",
}
PREFIX = "defender_detect"
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})

Samples = Mapping[tuple[str, ...], float]


class Family(NamedTuple):
    """A metric: its name without the prefix, its type, what it is, and its labels."""

    name: str
    type: str
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""


BEHAVIOR, SINK = ("security_profile", "behavior"), ("sink",)
COUNTED = {  # by the store's names
    IN_ALARM: Family("violations", "counter", "Alarms raised.", BEHAVIOR),
    ALARM_CLEARED: Family("violations_cleared", "counter", "Alarms cleared.", BEHAVIOR),
    ALARM_INVALIDATED: Family("violations_invalidated", "counter", "Alarms invalidated.", BEHAVIOR),
    ACCEPTED: Family("reports_accepted", "counter", "Reports accepted."),
    REJECTED: Family("reports_rejected", "counter", "Reports rejected, by code.", ("code",)),
    EVALUATION_SECONDS: Family("evaluation_seconds", "counter", "Time spent on reports accepted.", unit="seconds"),
    ALERTS_SENT: Family("alerts_sent", "counter", "Alerts delivered.", SINK),
    ALERTS_FAILED: Family("alert_attempts_failed", "counter", "Attempts to deliver an alert that failed.", SINK),
    ALERTS_DROPPED: Family("alerts_dropped", "counter", "Alerts that were never delivered.", SINK),
    ALERTS_WAITING: Family("alerts_waiting", "gauge", "Alerts that wait to be delivered.", SINK),
}
ACTIVE = Family("active_violations", "gauge", "Alarms that are on.", BEHAVIOR)
ALARMED = Family("things_in_alarm", "gauge", "Things with an alarm that is on.")
THINGS = Family("things", "gauge", "Things that have reported.")
SILENT = Family("things_silent", "gauge", "Things that have not reported for some time.")
LATEST = Family("last_report_timestamp_seconds", "gauge", "When the last report was accepted.", unit="seconds")
SIZE = Family("store_bytes", "gauge", "Size of the database.", unit="bytes")


def expose(sight: Sight, is_open: bool = True) -> str:
    """Return all metrics as text, in OpenMetrics or in Prometheus' older format, where a counter has another name."""
    store, counts = sight.store, sight.store.count(sight.clock() - sight.silent_after)
    lines: list[str] = []
    for name, family in COUNTED.items():
        lines += describe(family, store.counts(name), is_open)
    active = {(each.profile, each.behavior): float(each.number) for each in store.on_now()}
    lines += describe(ACTIVE, active, is_open)  # type: ignore[arg-type]
    single = {ALARMED: len(store.alarmed()), THINGS: counts.things, SILENT: counts.silent, SIZE: store.size()}
    for family, value in single.items():
        lines += describe(family, {(): value}, is_open)
    if counts.latest is not None:
        lines += describe(LATEST, {(): counts.latest}, is_open)
    return "".join(f"{line}\n" for line in [*lines, *(["# EOF"] if is_open else [])])


def describe(family: Family, samples: Samples, is_open: bool) -> Iterator[str]:
    """Yield the lines of a metric: its type and its help, and a line for each of its samples."""
    name = f"{PREFIX}_{family.name}"
    suffix = "_total" if family.type == "counter" else ""
    named = name if is_open else f"{name}{suffix}"
    yield f"# TYPE {named} {family.type}"
    if family.unit and is_open:
        yield f"# UNIT {named} {family.unit}"
    yield f"# HELP {named} {family.help}"
    for labels, value in sorted(samples.items()):
        yield f"{name}{suffix}{braces(family.labels, labels)} {number(value)}"


def braces(names: Sequence[str], values: Iterable[str]) -> str:
    """Return labels, which may hold anything."""
    pairs = [f'{name}="{value.translate(ESCAPES)}"' for name, value in zip(names, values)]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def number(value: float) -> str:
    """Return a number without an exponent where it is a whole one."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))

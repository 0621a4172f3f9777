"""The queries: what Detect keeps, in the shapes of the API's answers; times are seconds since the epoch, as there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from textwrap import indent
from typing import TYPE_CHECKING, Any

from defender_daemon.text import printable
from defender_detect.ask import tables
from defender_detect.errors import NothingKept
from defender_detect.evaluate.shapes import behavior_of, kind_of, metric_value

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event, Violation
    from defender_detect.store.reader import Thing, Verification
    from defender_detect.store.several import AnyReader

DAY = 24 * 3600.0  # seconds
NOBODY_LOOKED = "UNKNOWN"  # the verification state of an alarm that no one has judged
MOST_NAMED = 5  # things or metrics in a message
MOST_COUNTED = 900  # of the others; the reader does not return more than a thousand

Answer = Mapping[str, Any]


def answer(
    reader: AnyReader,
    question: str,
    now: float,
    days: float = 1.0,
    thing: str | None = None,
    metric: str = "",
    active: bool = False,
) -> Answer:
    """Answer "violations", "metrics" or "things" in the shape of AWS's API, looking back so many days from `now`.

    Raises NothingKept for a thing that never reported, or never this metric.
    """
    start, end = now - days * DAY, now + 1
    if question == "things":
        return list_things(reader)
    if question == "metrics":
        return list_metric_values(reader, str(thing), metric, start, end)
    found = list_active_violations(reader, thing) if active else list_violation_events(reader, start, end, thing)
    if thing is not None and not any(found.values()):
        check_thing(reader, thing)
    return found


def as_json(found: Answer) -> str:
    """Return an answer for a program."""
    return json.dumps(found, indent=2)


def as_table(question: str, found: Answer, width: int | None = None) -> str:
    """Return an answer for a person; `width` is that of the terminal, None for a pipe."""
    if question == "things":
        return tables.things_table(found, width)
    if question == "metrics":
        return tables.metrics_table(found, width)
    return (tables.violations_table if "activeViolations" in found else tables.events_table)(found, width)


def list_active_violations(reader: AnyReader, thing: str | None = None, profile: str | None = None) -> dict[str, Any]:
    """Answer as ListActiveViolations does, the oldest first."""
    return {"activeViolations": describe_violations(reader, list(reader.active(thing, profile)))}


def list_violation_events(
    reader: AnyReader, start: float, end: float, thing: str | None = None, profile: str | None = None
) -> dict[str, Any]:
    """Answer as ListViolationEvents does, the newest first."""
    return {"violationEvents": describe_events(reader, list(reader.events(start, end, thing, profile))[::-1])}


def list_metric_values(reader: AnyReader, thing: str, metric: str, start: float, end: float) -> dict[str, Any]:
    """Answer as ListMetricValues does, the oldest first; raises NothingKept if there is no such thing or metric."""
    values = reader.values(thing, metric, start, end)
    if not values:
        check_kept(reader, thing, metric)
    kind = kind_of(metric, (value for _, value in values))
    return {"metricDatumList": [{"timestamp": time, "value": metric_value(kind, value)} for time, value in values]}


def list_things(reader: AnyReader) -> dict[str, Any]:
    """Return the things that reported, by name, with what is known of each."""
    return {"things": [describe_thing(thing) for thing in reader.things()]}


def things_as_json(reader: AnyReader) -> Iterator[str]:
    """Yield the same for a program, thing by thing: a million of them are not to be in memory at once."""
    between = "\n"
    yield '{\n  "things": ['
    for thing in reader.things():
        yield between + indent(json.dumps(describe_thing(thing), indent=2), "    ")
        between = ",\n"
    yield "]\n}" if between == "\n" else "\n  ]\n}"


def describe_thing(thing: Thing) -> dict[str, Any]:
    """Return what is known of a thing."""
    return {
        "thingName": thing.name,
        "lastReportId": thing.report_id,
        "lastReportTime": thing.accepted_at,
        "activeViolations": thing.active_violations,
    }


def check_thing(reader: AnyReader, thing: str) -> None:
    """Raise NothingKept if a thing never reported."""
    if not reader.knows(thing):
        names = reader.neighbors(thing)
        near = get_close_matches(thing, names, 1)
        raise NothingKept(f"nothing is kept of the thing {printable(thing)}: {suggest(near, names, 'the things are')}")


def check_kept(reader: AnyReader, thing: str, metric: str) -> None:
    """Raise NothingKept if a thing never reported, or never this metric; it may have been at another time."""
    check_thing(reader, thing)
    kept = reader.metrics(thing)
    if metric not in kept:
        near = get_close_matches(metric, kept, 1)
        what = f"{printable(metric)} is not kept of {printable(thing)}"
        raise NothingKept(f"{what}: {suggest(near, kept, 'its metrics are')}")


def suggest(near: list[str], names: list[str], introduction: str) -> str:
    """Say which names there are; a device may have chosen them."""
    if near:
        return f"did you mean {printable(near[0])}?"
    if not names:
        return "there are none"
    more = len(names) - MOST_NAMED
    others = f" and {more} more" if 0 < more < MOST_COUNTED else " and others" if more > 0 else ""
    return f"{introduction} {', '.join(map(printable, names[:MOST_NAMED]))}{others}"


def describe_violations(reader: AnyReader, violations: Sequence[Violation]) -> list[dict[str, Any]]:
    """Return ActiveViolations, with what people found them to be."""
    found = reader.verifications(each.violation_id for each in violations)
    return [{**describe_violation(each), **describe_verdict(found.get(each.violation_id))} for each in violations]


def describe_events(reader: AnyReader, events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return ViolationEvents, with what people found their violations to be."""
    found = reader.verifications({each.violation_id for each in events})
    return [{**describe_event(each), **describe_verdict(found.get(each.violation_id))} for each in events]


def describe_verdict(found: Verification | None) -> dict[str, str]:
    """Return the keys that say what a violation was found to be."""
    if found is None:
        return {"verificationState": NOBODY_LOOKED}
    description = {"verificationStateDescription": found.description} if found.description else {}
    return {"verificationState": found.state, **description}


def describe_violation(violation: Violation) -> dict[str, Any]:
    """Return an ActiveViolation, but for what it was found to be."""
    return {
        "violationId": violation.violation_id,
        "thingName": violation.thing,
        "securityProfileName": violation.profile,
        "behavior": {**behavior_of(violation), "suppressAlerts": violation.suppressed},
        "lastViolationValue": metric_value(violation.kind, violation.last_value),
        "lastViolationTime": violation.last_time,
        "violationStartTime": violation.started_at,
    }


def describe_event(event: Event) -> dict[str, Any]:
    """Return a ViolationEvent, but for what its violation was found to be."""
    return {
        "violationId": event.violation_id,
        "thingName": event.thing,
        "securityProfileName": event.profile,
        "behavior": {**behavior_of(event), "suppressAlerts": event.suppressed},
        "metricValue": metric_value(event.kind, event.value),
        "violationEventType": event.type,
        "violationEventTime": event.time,
    }

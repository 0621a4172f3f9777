"""The golden list's fleet as records of the job, and what the clusters of these tests have in common."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence

from defender_detect.evaluate.alarms import Event
from defender_detect.evaluate.shapes import alert_body
from demo.flink.single import in_order
from tests.detect.evaluate.golden import Fleet, Line


def records_of(lines: Iterable[Line]) -> list[str]:
    """Return a fleet's reports as records, with times that are the same to the last bit."""
    return [
        json.dumps({"thing": line.thing, "t": line.time, "payload": base64.b64encode(line.payload).decode()})
        for line in lines
    ]


def halves(fleet: Fleet) -> tuple[list[str], list[str]]:
    """Return the records before and after the profiles change."""
    early = [line for line in fleet.lines if line.time < fleet.changed]
    return records_of(early), records_of(fleet.lines[len(early) :])


def said(events: Iterable[Event]) -> list[str]:
    """Return events as the job puts them out, in an order of their own."""
    return in_order(json.dumps(alert_body(event)) for event in events)


def until(alarms: Sequence[str], end: float) -> list[str]:
    """Return the alarms up to a time: a job that is drained tells of all that would follow from silence, too."""
    return [line for line in alarms if json.loads(line)["violationEventTime"] <= round(end * 1000)]

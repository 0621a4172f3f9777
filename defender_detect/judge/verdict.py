"""The verdict on a report, accepted or rejected, by the rules that AWS publishes; pure, and never raises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Union

import msgspec

from defender_detect.errors import Malformed
from defender_detect.fields import check_report, find_report_id
from defender_detect.judge.encodings import LARGEST_PAYLOAD, decode, encode
from defender_detect.judge.topics import ReportTopic
from defender_detect.shortcut import read_ordinary

MINIMUM_INTERVAL = 300.0  # seconds; Device Defender takes one report per thing in that time
TOLERANCE = 0.01  # of the interval: a timer that is set to 300 s does not hit 300 s exactly
INVALID_PAYLOAD = "InvalidPayload"
THROTTLED = "Throttled"
MALFORMED = "Malformed metrics report"  # AWS's own message; ours goes on with the place and the rule


class LastReport(msgspec.Struct, frozen=True, gc=False):  # no work for the garbage collector: there are many of them
    """The last accepted report of a thing."""

    report_id: int
    accepted_at: float  # seconds since the epoch


@dataclass(frozen=True)
class Accepted:
    """A report that follows the rules; `report` is what it says, with long names and without unknown keys."""

    topic: ReportTopic
    report_id: int
    timestamp: int  # milliseconds since the epoch
    report: Mapping[str, Any] = field(repr=False)

    @property
    def thing(self) -> str:
        """The thing that reported."""
        return self.topic.thing

    def reply(self) -> tuple[str, bytes]:
        """Return the topic and the payload that tell the thing."""
        document = {
            "thingName": self.thing,
            "reportId": self.report_id,
            "status": "ACCEPTED",
            "timestamp": self.timestamp,
        }
        return self.topic.accepted, encode(document, self.topic.encoding)


@dataclass(frozen=True)
class Rejected:
    """A report that was refused, with AWS's code and a message that says why."""

    topic: ReportTopic
    report_id: int | None  # None if the report could not be read that far
    timestamp: int  # milliseconds since the epoch
    code: str  # "InvalidPayload" or "Throttled"
    message: str

    @property
    def thing(self) -> str:
        """The thing that reported."""
        return self.topic.thing

    def reply(self) -> tuple[str, bytes]:
        """Return the topic and the payload that tell the thing."""
        document = {
            "thingName": self.thing,
            **({} if self.report_id is None else {"reportId": self.report_id}),
            "status": "REJECTED",
            "statusDetails": {"ErrorCode": self.code, "ErrorMessage": self.message},
            "timestamp": self.timestamp,
        }
        return self.topic.rejected, encode(document, self.topic.encoding)


Verdict = Union[Accepted, Rejected]


def judge(
    topic: ReportTopic,
    payload: bytes,
    now: float,
    last_accepted: LastReport | None = None,
    minimum_interval: float = MINIMUM_INTERVAL,
) -> Verdict:
    """Judge a report that arrived on `topic` at `now` (seconds since the epoch), whatever its bytes are.

    A report that breaks a rule is InvalidPayload; a good one that comes too soon after `last_accepted` is Throttled.
    Nothing says what AWS does with a report id that repeats or falls, so it is accepted.
    """
    document, timestamp = None, int(now * 1000)
    report = read_ordinary(payload) if topic.encoding == "json" and len(payload) <= LARGEST_PAYLOAD else None
    try:
        if report is None:
            document = decode(payload, topic.encoding)
            report = check_report(document)
    except Malformed as error:
        message = f"{MALFORMED}: {error}"
        return Rejected(topic, find_report_id(document), timestamp, INVALID_PAYLOAD, message)
    report_id = report["header"]["report_id"]
    if last_accepted and is_too_soon(now - last_accepted.accepted_at, minimum_interval):
        message = describe_throttling(now - last_accepted.accepted_at, minimum_interval)
        return Rejected(topic, report_id, timestamp, THROTTLED, message)
    return Accepted(topic, report_id, timestamp, report)


def is_too_soon(elapsed: float, minimum_interval: float) -> bool:
    """Tell whether a report comes too soon; not if the clock was set back since the last one."""
    return 0 <= elapsed < minimum_interval * (1 - TOLERANCE)


def describe_throttling(elapsed: float, minimum_interval: float) -> str:
    """Say why a report was throttled."""
    return f"At most one report per {minimum_interval:g} s, and the last one was accepted {elapsed:.1f} s ago"

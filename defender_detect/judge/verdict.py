"""The verdict on a report, accepted or rejected, by the rules that AWS publishes; pure, and never raises."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple, Union

import msgspec

from defender_detect.judge.encodings import decode, encode
from defender_detect.judge.reading import find_report_id, read_at_once, read_report
from defender_detect.judge.topics import ReportTopic
from device_defender.report import Malformed, Report

MINIMUM_INTERVAL = 300.0  # seconds; Device Defender takes one report per thing in that time
TOLERANCE = 0.01  # of the interval: a timer that is set to 300 s does not hit 300 s exactly
INVALID_PAYLOAD = "InvalidPayload"
THROTTLED = "Throttled"
MALFORMED = "Malformed metrics report"  # AWS's own message; ours goes on with the place and the rule
MOST_SENTENCES = 3  # about what is left out of a report, in a line of the log
CAPACITY = 1_000_000  # things, about 0.3 KB each; a broker without access control lets anyone make up names


class LastReport(msgspec.Struct, frozen=True, gc=False):  # no work for the garbage collector: there are many of them
    """The last accepted report of a thing."""

    report_id: int
    accepted_at: float  # seconds since the epoch


class LastReports:
    """The last accepted report of the things that were heard of most recently."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._by_thing: OrderedDict[str, LastReport] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_thing)

    def find(self, thing: str) -> LastReport | None:
        """Return the thing's last accepted report, if it is still remembered."""
        return self._by_thing.get(thing)

    def remember(self, accepted: Accepted, accepted_at: float) -> None:
        """Remember an accepted report, and forget the thing that has been silent for longest if there are too many."""
        self.put(accepted.thing, LastReport(accepted.report_id, accepted_at))

    def put(self, thing: str, last: LastReport) -> None:
        """Remember a thing's last accepted report, and forget another thing's if there are too many."""
        self._by_thing[thing] = last
        self._by_thing.move_to_end(thing)
        while len(self._by_thing) > self._capacity:
            self._by_thing.popitem(last=False)


class Accepted(NamedTuple):
    """A report that follows the rules, and a sentence for each of its custom metrics that Detect leaves out."""

    topic: ReportTopic
    report_id: int
    timestamp: int  # milliseconds since the epoch
    report: Report
    left_out: tuple[str, ...] = ()

    @property
    def thing(self) -> str:
        """The thing that reported."""
        return self.topic.thing

    @property
    def warning(self) -> str:
        """What is left out, for a line of the log, however much it is."""
        return summarize(self.left_out)

    def reply(self) -> tuple[str, bytes]:
        """Return the topic and the payload that tell the thing."""
        document = {
            "thingName": self.thing,
            "reportId": self.report_id,
            "status": "ACCEPTED",
            "timestamp": self.timestamp,
        }
        return self.topic.accepted, encode(document, self.topic.encoding)


class Rejected(NamedTuple):
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
    reading = read_at_once(payload, topic.encoding)
    try:
        if reading is None:
            document = decode(payload, topic.encoding)
            reading = read_report(document)
    except Malformed as error:
        message = f"{MALFORMED}: {error}"
        return Rejected(topic, find_report_id(document), timestamp, INVALID_PAYLOAD, message)
    report_id = reading.report.header.report_id
    if last_accepted and is_too_soon(now - last_accepted.accepted_at, minimum_interval):
        message = describe_throttling(now - last_accepted.accepted_at, minimum_interval)
        return Rejected(topic, report_id, timestamp, THROTTLED, message)
    return Accepted(topic, report_id, timestamp, reading.report, reading.left_out)


def is_too_soon(elapsed: float, minimum_interval: float) -> bool:
    """Tell whether a report comes too soon; not if the clock was set back since the last one."""
    return 0 <= elapsed < minimum_interval * (1 - TOLERANCE)


def describe_throttling(elapsed: float, minimum_interval: float) -> str:
    """Say why a report was throttled."""
    return f"At most one report per {minimum_interval:g} s, and the last one was accepted {elapsed:.1f} s ago"


def summarize(left_out: Sequence[str]) -> str:
    """Return the first of what is left out, and how much more there is."""
    more = len(left_out) - MOST_SENTENCES
    return "; ".join(left_out[:MOST_SENTENCES]) + (f"; and {more} more" if more > 0 else "")

"""A record of the stream: a report as the rule of AWS IoT hands it on, with its thing and the broker's time.

    {"thing": "lathe-7", "t": 1790000000000, "payload": "<base64 of the report, JSON or CBOR>"}

`format` ("json" or "cbor") may be there; without it the payload itself says. What is no such record is refused with a
code and a sentence, and costs nobody else anything.
"""

from __future__ import annotations

import binascii
import json
import zlib
from typing import Any, NamedTuple, Union

import msgspec

from defender_detect.judge.topics import ENCODINGS, NAME_RULE, ReportTopic, may_report
from device_defender.wording import shown

MILLISECONDS = 1e11  # a time above this is in milliseconds: in seconds it would be the year 5138
LATEST = 1e14  # milliseconds
AHEAD = 3600.0  # seconds that a record may be ahead of this machine's clock; beyond, every thing would seem silent
NOBODY = 128  # keys that share the records without a thing, so that a flood of them meets every worker alike
LONGEST_SHOWN = 1000  # characters of a refused record that are kept

NO_ENVELOPE, BAD_TIME, BAD_NAME, BAD_BASE64 = "NoEnvelope", "BadTime", "BadThingName", "BadBase64"
LATE, REDELIVERED = "Late", "Redelivered"  # not newer than the thing's last report: out of order, or the same again
BAD_RULES = "InvalidRules"  # a rules document, not a report


class Record(NamedTuple):
    """A report's bytes, and whose they are; `time` is the broker's, in seconds since the epoch."""

    topic: ReportTopic
    time: float
    payload: bytes


class Refused(NamedTuple):
    """A record that is not evaluated: a code to count by, and why in a sentence."""

    code: str
    reason: str
    thing: str = ""
    record: str = ""  # its beginning

    def line(self, count: int) -> str:
        """Return it as a line of JSON, with how many of its code there were so far."""
        return json.dumps({**self._asdict(), "count": count})


class Envelope(msgspec.Struct):
    """What is read of a record at first."""

    thing: Any = None
    t: Any = None
    payload: Any = None
    format: Any = None


class _Key(msgspec.Struct):
    thing: str


_read_envelope = msgspec.json.Decoder(Envelope).decode
_read_key = msgspec.json.Decoder(_Key).decode


def key_of(line: str) -> str:
    """Return the key that a record is evaluated under: its thing; one of some others where it names none."""
    try:
        return _read_key(line).thing
    except (msgspec.DecodeError, UnicodeError):
        return f"$nobody/{zlib.crc32(line[-64:].encode(errors='replace')) % NOBODY}"


def time_of(line: str) -> float:
    """Return the broker's time of a record, in seconds since the epoch; 0 if it has none."""
    try:
        return _seconds(_read_envelope(line).t) or 0.0
    except (msgspec.DecodeError, UnicodeError):
        return 0.0


def read_record(line: str, latest: float, arrived: float | None = None) -> Union[Record, Refused]:
    """Return what a record holds, or why that is nothing to be judged.

    `latest` is the largest time that is believed, `arrived` the time where the record has none of its own.
    """
    try:
        envelope = _read_envelope(line)
    except (msgspec.DecodeError, UnicodeError) as error:
        return Refused(NO_ENVELOPE, f"the record must be JSON with thing, t and payload: {error}", "", begin(line))
    found = _open(envelope, latest, arrived)
    if isinstance(found, Record):
        return found
    thing = envelope.thing if isinstance(envelope.thing, str) else ""
    return Refused(*found, thing[:128], begin(line))


def begin(line: str) -> str:
    """Return as much of a record as is kept of one that is refused."""
    return line[:LONGEST_SHOWN]


def _open(envelope: Envelope, latest: float, arrived: float | None) -> Record | tuple[str, str]:
    """Return what an envelope holds, or the code and the sentence that say why it holds nothing."""
    time = arrived if envelope.t is None else _seconds(envelope.t)
    if not may_report(envelope.thing):
        return BAD_NAME, f"thing must be {NAME_RULE}, got {shown(envelope.thing)}"
    if time is None:
        return BAD_TIME, f"t must be milliseconds since 1970, got {shown(envelope.t)}"
    if time > latest:
        return BAD_TIME, f"t must be at most {AHEAD:.0f} s ahead of this machine's clock, got {time:.0f}"
    if envelope.format not in (None, *ENCODINGS):
        return NO_ENVELOPE, f"format must be json or cbor, got {shown(envelope.format)}"
    try:
        payload = binascii.a2b_base64(envelope.payload.encode("ascii"))
    except (AttributeError, ValueError) as error:
        why = "it is missing" if envelope.payload is None else str(error)
        return BAD_BASE64, f"payload must be the report in base64: {why}"
    encoding = envelope.format or ("json" if payload.lstrip()[:1] == b"{" else "cbor")
    return Record(ReportTopic(envelope.thing, encoding), time, payload)


def _seconds(t: object) -> float | None:
    """Return a time in seconds; None for what is none."""
    if isinstance(t, bool) or not isinstance(t, (int, float)) or not 0 < t < LATEST:
        return None
    return t / 1000 if t > MILLISECONDS else float(t)

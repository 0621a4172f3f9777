"""The replay: recorded reports evaluated as if they came now, to try a profile on yesterday's data."""

from __future__ import annotations

import contextlib
import datetime
import json
import shutil
import sys
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from defender_detect.ask.tables import show_time
from defender_detect.errors import DetectError
from defender_detect.evaluate.alarms import ALARM_INVALIDATED, Event
from defender_detect.evaluate.detector import Detector
from defender_detect.evaluate.sentences import trial_of
from defender_detect.judge.topics import NAME_RULE, ReportTopic, Topics, may_report
from defender_detect.judge.verdict import MALFORMED, Rejected, judge
from device_defender.report import Malformed, Report

MILLISECONDS = 1e11  # a time above this is in milliseconds: in seconds it would be the year 5138
LATEST = 1e14  # milliseconds
RESERVED = Topics()
BOM = b"\xef\xbb\xbf"


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


class Line(msgspec.Struct):
    """What is read of a line; a report is left as it is, so that it is read as one that arrives is."""

    thingName: Any = None  # noqa: N815 - as AWS writes it
    topic: Any = None
    timestamp: Any = msgspec.UNSET
    tst: Any = msgspec.UNSET
    report: msgspec.Raw = msgspec.Raw()  # empty if there is none
    payload: msgspec.Raw = msgspec.Raw()


_read_line = msgspec.json.Decoder(Line).decode


class Recording:
    """The reports of a file in the order of their times; in memory are only the times, and where each line begins."""

    def __init__(self, file: BinaryIO, topics: Topics = RESERVED) -> None:
        """Take a file that is at its beginning; `topics` are those that the reports were published on."""
        self._file, self._topics = file, topics
        self._times, self._places = array("d"), array("q")

    def __len__(self) -> int:
        return len(self._times)

    def read(self) -> Iterator[Unreadable | Recorded]:
        """Find the reports, and yield the lines that hold none, and the reports of which something is left out."""
        place = 0
        for number, line in enumerate(self._file, 1):
            found = read_line(number, line, self._topics)
            if isinstance(found, Recorded):
                self._times.append(found.time)
                self._places.append(place)
                if found.left_out:
                    yield found
            elif found is not None:
                yield found
            place += len(line)

    def __iter__(self) -> Iterator[Recorded]:
        for number in sorted(range(len(self._times)), key=self._times.__getitem__):
            self._file.seek(self._places[number])
            found = read_line(0, self._file.readline(), self._topics)
            if isinstance(found, Recorded):
                yield found


@contextlib.contextmanager
def open_recording(path: Path, topics: Topics = RESERVED) -> Iterator[Recording]:
    """Open a file, or standard input for `-`; raise DetectError if it cannot be read."""
    name = "standard input" if str(path) == "-" else path
    with contextlib.ExitStack() as stack:
        try:
            file = sys.stdin.buffer if str(path) == "-" else stack.enter_context(open(path, "rb"))
            if not file.seekable() or file.tell():
                kept = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(file, kept)
                kept.seek(0)
                file = kept
        except OSError as error:
            raise DetectError(f"{name} cannot be read: {error.strerror}") from error
        yield Recording(file, topics)


def read_recorded(lines: Iterable[bytes], topics: Topics = RESERVED) -> Iterator[Recorded | Unreadable]:
    """Read lines of JSON: {"thingName", "timestamp", "report"}, or what `mosquitto_sub -F %J` (or %j) prints."""
    found = (read_line(number, line, topics) for number, line in enumerate(lines, 1))
    return (each for each in found if each is not None)


def read_line(number: int, line: bytes, topics: Topics = RESERVED) -> Recorded | Unreadable | None:
    """Read one line; None if it is empty. Without a time, that of the report is taken from its id.

    amazon-defender-publisher makes that of the time.
    """
    try:
        return _read(number, _parse(line.removeprefix(BOM)), topics) if line.strip() else None
    except json.JSONDecodeError as error:
        return Unreadable(number, f"it must be JSON: {error.msg} at character {error.pos + 1}")
    except (Malformed, ValueError, OverflowError, RecursionError) as error:
        return Unreadable(number, str(error))


def replay(detector: Detector, recorded: Path | Iterable[Recorded]) -> Iterator[Event]:
    """Evaluate reports, and yield the alarms that begin and end.

    They are in the order of their times, or in a file, whose lines that hold no report are passed over.
    """
    if isinstance(recorded, Path):
        with open_recording(recorded) as recording:
            for _ in recording.read():
                pass
            yield from replay(detector, recording)
        return
    for each in recorded:
        for silent in chain(detector.find_silent(each.time), detector.expire(each.time)):
            yield from silent.events
        finding = detector.observe(each.thing, each.report, each.time)
        if finding is not None:
            yield from finding.events


def tell_replay(detector: Detector, recording: Recording) -> Iterator[str]:
    """Yield what a person reads of a replay: the lines that are no reports, the alarms, and how many there were.

    An alarm that silence invalidates is at the report at which Detect would have told of it.
    """
    unreadable = events = 0
    for each in recording.read():
        if isinstance(each, Unreadable):
            unreadable += 1
            yield f"line {each.line} is no report: {each.reason}"
        else:
            yield f"line {each.line}: {each.left_out}"
    things: set[str] = set()
    now = [0.0]
    for event in replay(detector, _note(recording, things, now)):
        events += 1
        told = now[0] if event.type == ALARM_INVALIDATED else event.time
        yield f"{show_time(told)}  {trial_of(event)}"
    if detector.refused:
        yield f"{detector.refused} reports not evaluated: detect.most_things allows {detector.most_things} things"
    yield f"{len(recording)} reports of {len(things)} things evaluated, {unreadable} lines unreadable, {events} events"


def _note(recorded: Iterable[Recorded], things: set[str], now: list[float]) -> Iterator[Recorded]:
    """Yield reports, and note whose they are and the time of the one under way."""
    for each in recorded:
        things.add(each.thing)
        now[0] = each.time
        yield each


def _parse(line: bytes) -> Line:
    """Take a line apart; raise JSONDecodeError, or Malformed if it is no object."""
    try:
        return _read_line(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # NaN, half a surrogate pair or no UTF-8 may still be read
        entry = json.loads(line.decode("utf-8", "backslashreplace"))
    if not isinstance(entry, dict):
        raise Malformed("the line", "must be an object")
    known = {key: value for key, value in entry.items() if key in Line.__struct_fields__}
    raw = {key: msgspec.Raw(json.dumps(known[key]).encode()) for key in ("report", "payload") if key in known}
    return Line(**{**known, **raw})


def _read(number: int, line: Line, topics: Topics) -> Recorded:
    payload = bytes(line.report or line.payload).strip() or b"null"
    if payload.startswith(b'"'):  # of `mosquitto_sub -F %j`
        payload = json.loads(payload).encode("utf-8", "backslashreplace")
    thing = _thing_of(line, topics)
    verdict = judge(ReportTopic(thing, "json"), payload, 0.0)
    if isinstance(verdict, Rejected):
        raise ValueError(verdict.message.removeprefix(f"{MALFORMED}: "))
    return Recorded(_time_of(line, verdict.report_id), thing, verdict.report, number, verdict.warning)


def _thing_of(line: Line, topics: Topics) -> str:
    topic = topics.parse(str(line.topic), b"{")
    thing = line.thingName or (topic.thing if topic else None)
    if thing is None:
        raise Malformed("thingName", "is missing, and so is a topic that reports arrive on")
    if not may_report(thing):
        raise Malformed("thingName", f"must be {NAME_RULE}")
    return str(thing)


def _time_of(line: Line, report_id: int) -> float:
    time = next((each for each in (line.timestamp, line.tst) if each is not msgspec.UNSET), report_id)
    if isinstance(time, str):
        return datetime.datetime.fromisoformat(_as_python_reads_it(time)).timestamp()
    if isinstance(time, bool) or not isinstance(time, (int, float)) or not 0 <= time <= LATEST:
        raise Malformed("timestamp", "must be a number of milliseconds or seconds since 1970, or an ISO time")
    return time / 1000 if time > MILLISECONDS else float(time)


def _as_python_reads_it(time: str) -> str:
    """Return an ISO time in the form that Python 3.10 knows; mosquitto_sub ends one with Z+0000."""
    time = time.replace("Z+", "+").replace("Z-", "-")
    time = time[:-1] + "+00:00" if time.endswith("Z") else time
    return time[:-2] + ":" + time[-2:] if time[-5:-4] in ("+", "-") and time[-3] != ":" else time

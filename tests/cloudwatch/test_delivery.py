"""Each event reaches its stream once, and in order, whatever AWS answers and wherever a turn ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from defender_cloudwatch import delivery as module
from defender_cloudwatch.batch import MOST_EVENTS, LogEvent
from defender_cloudwatch.call import Service
from defender_cloudwatch.delivery import Delivery, Rejected, Watcher, rejected_of
from defender_cloudwatch.errors import CallFailed
from defender_cloudwatch.places import Places
from defender_cloudwatch.sources import Reading, Target

TARGET = Target("/group", "stream")
LOST = CallFailed("logs cannot be reached: timed out", "Unreachable", passing=True)


class Aws:
    """CloudWatch Logs: keeps streams, and does what is in `next` instead, or after it, once."""

    def __init__(self) -> None:
        self.groups: dict[str, dict[str, list[LogEvent]]] = {}
        self.retention: dict[str, int] = {}
        self.operations: list[str] = []
        self.next: list[tuple[str, Callable[[], Any], bool]] = []  # operation, what happens, whether it is also done

    def fail(self, operation: str, error: CallFailed, also_done: bool = False) -> None:
        def happen() -> Any:
            raise error

        self.next.append((operation, happen, also_done))

    def call(self, service: Service, operation: str, content: dict[str, Any]) -> dict[str, Any]:
        self.operations.append(operation)
        planned = next((each for each in self.next if each[0] == operation), None)
        if planned is None:
            return self.do(operation, content)
        self.next.remove(planned)
        if planned[2]:
            self.do(operation, content)
        return dict(planned[1]())

    def do(self, operation: str, content: dict[str, Any]) -> dict[str, Any]:
        group, stream = content["logGroupName"], content.get("logStreamName", "")
        if operation == "CreateLogGroup":
            self.groups[group] = {}
        elif group not in self.groups or (operation.endswith("Events") and stream not in self.groups[group]):
            raise CallFailed(f"{operation} failed (ResourceNotFoundException)", "ResourceNotFoundException")
        elif operation == "CreateLogStream":
            self.groups[group][stream] = []
        elif operation == "PutRetentionPolicy":
            self.retention[group] = content["retentionInDays"]
        elif operation == "PutLogEvents":
            self.groups[group][stream] += content["logEvents"]
        elif operation == "GetLogEvents":
            found = [each for each in self.groups[group][stream] if each.time == content["startTime"]]
            return {"events": [{"timestamp": each.time, "message": each.message} for each in found]}
        return {}

    @property
    def messages(self) -> list[str]:
        return [each.message for each in self.groups["/group"]["stream"]]


class Lines:
    """A source of numbered lines, so many at a time."""

    name, target = "lines", TARGET

    def __init__(self, count: int, room: int = 10, time: int = 1_000) -> None:
        self._count, self._room, self._time = count, room, time
        self._at, self._next = 0, 0

    def read(self) -> Reading | None:
        end = min(self._at + self._room, self._count)
        if end == self._at:
            return None
        self._next = end
        return Reading([LogEvent(self._time, f"line {number}") for number in range(self._at, end)], end)

    def done(self) -> None:
        self._at = self._next

    def where(self) -> Any:
        return self._at

    def resume(self, at: Any) -> None:
        self._at = self._next = at


def names(count: int) -> list[str]:
    return [f"line {number}" for number in range(count)]


@pytest.fixture
def aws() -> Aws:
    return Aws()


class Told(Watcher):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.events, self.refused = 0, 0

    def sent(self, events: int) -> None:
        self.events += events

    def rejected(self, events: int) -> None:
        self.refused += events


def delivery(aws: Aws, places: Places | None = None, watcher: Watcher | None = None) -> Delivery:
    return Delivery(aws, places or Places(None), 30, lambda: 1.0, watcher)  # type: ignore[arg-type]


def test_groups_and_streams_are_made_when_they_are_needed_and_a_groups_retention_is_set(aws: Aws) -> None:
    told = Told()
    assert 25 == delivery(aws, watcher=told).turn(Lines(25))
    assert names(25) == aws.messages
    assert {"/group": 30} == aws.retention
    assert 25 == told.events


def test_a_group_that_is_deleted_while_running_is_made_again_and_no_event_is_lost(aws: Aws) -> None:
    source, sender = Lines(10), delivery(aws)
    sender.turn(source)
    aws.groups.clear()
    source._count = 20
    sender.turn(source)
    assert names(20)[10:] == aws.messages


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("restarted", [True, False])
def test_a_batch_whose_answer_was_lost_is_asked_for_and_sent_once(aws: Aws, arrived: bool, restarted: bool) -> None:
    aws.groups["/group"] = {"stream": []}
    source, places = Lines(20), Places(None)
    aws.fail("PutLogEvents", LOST, also_done=arrived)
    with pytest.raises(CallFailed, match="timed out"):
        delivery(aws, places).turn(source)
    if restarted:
        source = Lines(20)
        source.resume((places.of("lines").place or {}).get("at", 0))
    delivery(aws, places).turn(source)
    assert names(20) == aws.messages
    assert 1 == aws.operations.count("GetLogEvents")


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])
def test_a_refused_batch_is_sent_later_without_a_question(aws: Aws, code: str) -> None:
    source, sender = Lines(20), delivery(aws)
    aws.groups["/group"] = {"stream": []}
    aws.fail("PutLogEvents", CallFailed("no", code, passing="Throttl" in code))
    with pytest.raises(CallFailed):
        sender.turn(source)
    sender.turn(source)
    assert names(20) == aws.messages
    assert "GetLogEvents" not in aws.operations


def test_what_cannot_be_asked_is_sent_again(aws: Aws, caplog: pytest.LogCaptureFixture) -> None:
    """At least once: where the role may not read, a batch whose answer was lost comes twice rather than never."""
    aws.groups["/group"] = {"stream": []}
    source, sender = Lines(5), delivery(aws)
    aws.fail("PutLogEvents", LOST, also_done=True)
    with pytest.raises(CallFailed):
        sender.turn(source)
    aws.fail("GetLogEvents", CallFailed("AWS denied GetLogEvents", "AccessDeniedException"))
    sender.turn(source)
    assert names(5) * 2 == aws.messages
    assert "it cannot be found out whether the last batch arrived, so it is sent again: AWS denied" in caplog.text


def test_a_turn_that_is_stopped_between_two_batches_goes_on_there(aws: Aws) -> None:
    source, places = Lines(2 * MOST_EVENTS + 5, room=3 * MOST_EVENTS), Places(None)
    told = Told()
    delivery(aws, places, told).turn(source, stopped=lambda: told.events > 0)
    assert MOST_EVENTS == len(aws.messages)
    again = Lines(2 * MOST_EVENTS + 5, room=3 * MOST_EVENTS)
    again.resume((places.of("lines").place or {})["at"])
    delivery(aws, places).turn(again)
    assert names(2 * MOST_EVENTS + 5) == aws.messages


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"tooOldLogEventEndIndex": 3}, Rejected(3, 0)),
        ({"expiredLogEventEndIndex": 2, "tooOldLogEventEndIndex": 1}, Rejected(2, 0)),
        ({"tooNewLogEventStartIndex": 7}, Rejected(0, 3)),
        ({"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 8}, Rejected(1, 2)),
    ],
)
def test_what_was_rejected_is_counted(info: dict[str, int], expected: Rejected) -> None:
    assert expected == rejected_of(info, 10)


def test_rejected_events_are_said_and_not_sent_again(aws: Aws, caplog: pytest.LogCaptureFixture) -> None:
    aws.groups["/group"] = {"stream": []}
    info = {"tooOldLogEventEndIndex": 2, "tooNewLogEventStartIndex": 9}
    aws.next.append(("PutLogEvents", lambda: {"rejectedLogEventsInfo": info}, True))
    told = Told()
    with caplog.at_level(logging.WARNING):
        delivery(aws, watcher=told).turn(Lines(10))
    assert (10, 3) == (len(aws.messages), told.refused)
    assert (
        "CloudWatch Logs rejected events of /group/stream by their times, and they are not sent again: 2 are older "
        "than 14 days or the log group's retention and 1 are more than two hours ahead (check this device's clock)"
    ) in caplog.text


def test_a_place_that_cannot_be_kept_sends_nothing_and_loses_nothing(
    aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, sender = Lines(10), delivery(aws, Places(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(Places, "_write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left"):
            sender.turn(source)
    assert {} == aws.groups
    sender.turn(source)
    assert names(10) == aws.messages


def test_times_are_in_order_and_each_batch_begins_at_a_time_of_its_own(aws: Aws) -> None:
    class Jumps(Lines):
        def read(self) -> Reading | None:
            found = super().read()
            return found and found._replace(events=[LogEvent(time, "x") for time in self.times.pop(0)])

        times: Sequence[Sequence[int]]

    source = Jumps(4, room=2)
    source.times = [[900, 800], [900, 900]]
    delivery(aws).turn(source)
    assert [900, 900, 901, 901] == [each.time for each in aws.groups["/group"]["stream"]]


def test_a_clock_that_was_far_ahead_once_does_not_hold_later_events_back(aws: Aws) -> None:
    source, sender = Lines(2, room=1, time=1_000 + module.LONGEST_AHEAD + 1), delivery(aws)
    sender.turn(source, stopped=lambda: bool(aws.groups) and len(aws.messages) == 1)
    source._time = 1_000
    sender.turn(source)
    assert 1_000 == aws.groups["/group"]["stream"][-1].time

"""Each event reaches its stream once: what was sent without an answer is looked for before it is sent again."""

from __future__ import annotations

from typing import Any

import pytest

from defender_cloudwatch.batch import LogEvent
from defender_cloudwatch.delivery import Delivery
from defender_cloudwatch.errors import CallFailed
from defender_cloudwatch.places import Pending, Places, Standing
from defender_cloudwatch.sources import Reading, Target

NOW = 1_800_000_000
TARGET = Target("/group", "stream")


class FakeApi:
    """CloudWatch Logs, of one stream: `failing` are the errors of the next calls, by operation."""

    def __init__(self) -> None:
        self.events: list[tuple[int, str]] = []
        self.calls: list[str] = []
        self.failing: dict[str, list[CallFailed | None]] = {}
        self.rejected: dict[str, int] = {}

    def call(self, service: object, operation: str, content: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(operation)
        failing = self.failing.get(operation)
        error = failing.pop(0) if failing else None
        if operation == "PutLogEvents" and (error is None or error.code == "after it was taken"):
            self.events += [(each.time, each.message) for each in content["logEvents"]]
        if error is not None:
            raise error
        if operation == "GetLogEvents":
            start, end = content["startTime"], content["endTime"]
            return {"events": [{"message": text} for time, text in self.events if start <= time < end]}
        return {"rejectedLogEventsInfo": self.rejected} if self.rejected else {}

    @property
    def messages(self) -> list[str]:
        return [message for _, message in self.events]


class FakeSource:
    """A source of a line each time, which stands at the number of lines that are done."""

    name, target = "file /var/log/a.log", TARGET

    def __init__(self, *lines: str, at: int = 0) -> None:
        self.lines, self.at, self._read = lines, at, 0

    def read(self) -> Reading | None:
        if self.at >= len(self.lines):
            return None
        self._read = self.at + 1
        return Reading([LogEvent(NOW * 1000, self.lines[self.at])], self._read)

    def done(self) -> None:
        self.at = self._read

    def where(self) -> Any:
        return self.at

    def resume(self, at: Any) -> None:
        self.at = at


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def places() -> Places:
    return Places(None)


@pytest.fixture
def delivery(api: FakeApi, places: Places) -> Delivery:
    return Delivery(api, places, retention=30, clock=lambda: float(NOW))  # type: ignore[arg-type]


def failure(code: str, passing: bool = False) -> CallFailed:
    return CallFailed("it failed", code=code, passing=passing)


def test_everything_is_sent_once_and_each_batch_begins_at_a_time_of_its_own(api: FakeApi, delivery: Delivery) -> None:
    source = FakeSource("a", "b", "c")
    assert 3 == delivery.turn(source)
    assert [(NOW * 1000, "a"), (NOW * 1000 + 1, "b"), (NOW * 1000 + 2, "c")] == api.events
    assert 0 == delivery.turn(source)


def test_a_stream_that_is_not_there_is_made_with_its_group_and_retention(api: FakeApi, delivery: Delivery) -> None:
    missing = failure("ResourceNotFoundException")
    api.failing = {"PutLogEvents": [missing], "CreateLogStream": [missing]}
    assert 1 == delivery.turn(FakeSource("a"))
    made = ["CreateLogStream", "CreateLogGroup", "PutRetentionPolicy", "CreateLogStream"]
    assert ["PutLogEvents", *made, "PutLogEvents"] == api.calls
    assert ["a"] == api.messages


def test_a_retention_that_cannot_be_set_and_a_stream_that_somebody_made_stop_nothing(
    api: FakeApi, delivery: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    missing, there = failure("ResourceNotFoundException"), failure("ResourceAlreadyExistsException")
    api.failing = {
        "PutLogEvents": [missing],
        "CreateLogStream": [missing, there],
        "CreateLogGroup": [there],
        "PutRetentionPolicy": [failure("AccessDenied")],
    }
    assert 1 == delivery.turn(FakeSource("a"))
    assert "the retention of /group was not set" in caplog.text


@pytest.mark.parametrize(("taken", "calls"), [(True, 1), (False, 2)])
def test_a_batch_without_an_answer_is_looked_for_and_sent_again_only_if_it_is_not_there(
    api: FakeApi, delivery: Delivery, taken: bool, calls: int
) -> None:
    source = FakeSource("a", "b")
    api.failing["PutLogEvents"] = [failure("after it was taken" if taken else "lost", passing=True)]
    with pytest.raises(CallFailed):
        delivery.turn(source)
    delivery.turn(source)
    assert ["a", "b"] == api.messages
    assert calls + 1 == api.calls.count("PutLogEvents")


@pytest.mark.parametrize("taken", [True, False])
def test_so_it_is_after_a_kill(api: FakeApi, places: Places, delivery: Delivery, taken: bool) -> None:
    first, after = LogEvent(NOW * 1000, "a"), {"at": 1, "sent": 0, "time": NOW * 1000}
    api.events = [(first.time, first.message)] if taken else []
    places.put(FakeSource.name, Standing({"at": 0, "sent": 0, "time": 0}, Pending(*TARGET, first, after)))
    delivery.turn(FakeSource("a", "b"))
    assert ["a", "b"] == api.messages


def test_a_refusal_leaves_what_was_read_where_it_is(api: FakeApi, delivery: Delivery, places: Places) -> None:
    source = FakeSource("a")
    api.failing["PutLogEvents"] = [failure("InvalidParameterException")]
    with pytest.raises(CallFailed):
        delivery.turn(source)
    assert places.of(source.name).pending is None
    assert 1 == delivery.turn(source)
    assert (["a"], 0) == (api.messages, api.calls.count("GetLogEvents"))


def test_where_it_cannot_be_found_out_the_batch_is_sent_again_and_that_is_said(
    api: FakeApi, delivery: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    source = FakeSource("a")
    api.failing = {"PutLogEvents": [failure("lost", passing=True)], "GetLogEvents": [failure("AccessDenied")]}
    with pytest.raises(CallFailed):
        delivery.turn(source)
    assert 1 == delivery.turn(source)
    assert "it cannot be found out whether the last batch arrived, so it is sent again" in caplog.text


def test_what_cloudwatch_rejects_by_its_time_is_said(
    api: FakeApi, delivery: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    api.rejected = {"tooOldLogEventEndIndex": 1}
    delivery.turn(FakeSource("a"))
    assert "rejected events of /group/stream by their times" in caplog.text
    assert "1 are older than" in caplog.text


def test_whoever_is_stopped_sends_nothing_more(api: FakeApi, delivery: Delivery) -> None:
    assert 0 == delivery.turn(FakeSource("a"), stopped=lambda: True)
    assert [] == api.calls


def test_a_time_that_was_far_ahead_does_not_hold_up_what_comes(
    api: FakeApi, places: Places, delivery: Delivery
) -> None:
    places.put(FakeSource.name, Standing({"at": 0, "sent": 0, "time": (NOW + 86_400) * 1000}))
    delivery.turn(FakeSource("a"))
    assert [(NOW * 1000, "a")] == api.events

"""Many alarms make few messages: the first of a behavior at once, the others together, and none is lost."""

from __future__ import annotations

import logging
import threading
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from defender_detect.alerts.alerts import Alerts
from defender_detect.alerts.delivered import FILE
from defender_detect.alerts.grouping import AT_ONCE, BACKLOG, TOGETHER, Messages
from defender_detect.errors import AlertError
from defender_detect.evaluate.alarms import Event
from defender_detect.evaluate.sentences import line_of
from defender_detect.evaluate.shapes import alert_body
from defender_detect.store.store import Store
from tests.detect.store.test_store import event
from tests.waiting import PATIENCE

MINUTE = 60.0


def told(messages: Messages, now: float) -> list[Event]:
    found = []
    while (message := messages.take(now)) is not None:
        found.append(message.told())
    return found


def counts(events: list[Event]) -> list[int]:
    return [1 if each.group is None else each.group.number for each in events]


def test_the_first_alarm_of_a_behavior_is_told_at_once_and_the_rest_in_one_message() -> None:
    messages = Messages(MINUTE)
    for number in range(834):
        messages.put(event(thing=f"cam-{number:04}"), 100.0 + number / 100, 1e9)
    assert [1] == counts(told(messages, 109.0))
    assert 51.0 == messages.wait(109.0)
    assert [] == told(messages, 159.9)
    (together,) = told(messages, 160.0)
    assert (833, 10, ()) == (together.group.number, len(together.group.things), together.group.rules)  # type: ignore[union-attr]
    expected = "cam-0001, cam-0002, cam-0003 and 830 more: in-alarm: cpu_usage is 99.5, normal is at most 75"
    assert f"{expected} (the first of 833; cpu of cpu-usage)" == line_of(together)
    body = alert_body(together)
    assert (833, "cam-0001") == (body["group"]["count"], body["group"]["thingNames"][0])
    assert messages.wait(160.0) is None


def test_a_behavior_that_was_told_within_the_time_waits_and_one_that_was_not_does_not() -> None:
    messages = Messages(MINUTE)
    messages.put(event(thing="a"), 0.0, 1e9)
    messages.put(event(thing="b", behavior="other"), 1.0, 1e9)
    messages.put(event("alarm-cleared", thing="a"), 2.0, 1e9)
    assert ["a", "b", "a"] == [each.thing for each in told(messages, 2.0)]
    messages.put(event(thing="c"), 59.0, 1e9)
    assert ["c"] == [each.thing for each in told(messages, 60.0)]
    messages.put(event(thing="d"), 61.0, 1e9)  # a message of its behavior was just sent
    assert [] == told(messages, 61.0)
    messages.put(event(thing="e", behavior="other"), 62.0, 1e9)
    assert ["e"] == [each.thing for each in told(messages, 62.0)]
    assert ["d"] == [each.thing for each in told(messages, 121.0)]


def test_nobody_hears_of_an_end_before_its_beginning() -> None:
    messages = Messages(MINUTE)
    messages.put(event(thing="a"), 0.0, 1e9)
    messages.put(event(thing="b"), 1.0, 1e9)
    for thing in "bcd":
        messages.put(event("alarm-cleared", thing=thing), 2.0, 1e9)
    assert [("a", "in-alarm")] == [(each.thing, each.type) for each in told(messages, 3.0)]
    assert [("b", "in-alarm"), ("b", "alarm-cleared")] == [(each.thing, each.type) for each in told(messages, MINUTE)]


@pytest.mark.parametrize("behaviors", [1, 3, 20, 100])
def test_ten_thousand_alarms_in_a_minute_are_thirty_messages_at_most_and_none_is_lost(behaviors: int) -> None:
    messages, sent = Messages(MINUTE), []
    for number in range(20_000):  # two minutes of them
        now = number * 2 * MINUTE / 20_000
        kind = ("in-alarm", "alarm-cleared")[number % 2]
        name = f"b-{number % behaviors}"
        messages.put(event(kind, thing=f"t-{number}", behavior=name, violation_id=str(number)), now, 1e9)
        sent += [(now, each) for each in told(messages, now)]
    sent += [(now, each) for now in (2 * MINUTE, 3 * MINUTE, 4 * MINUTE) for each in told(messages, now)]
    assert 20_000 == sum(counts([each for _, each in sent]))
    times = [now for now, _ in sent]
    assert max(sum(start <= now <= start + MINUTE for now in times) for start in times) <= 30


def test_one_message_has_what_is_too_much_for_messages_of_its_own() -> None:
    messages = Messages(MINUTE)
    for number in range(40):
        messages.put(event(behavior=f"b-{number:02}", thing=f"t-{number}"), 0.0, 1e9)
    assert AT_ONCE == len(told(messages, 0.0))
    found = told(messages, MINUTE)
    assert TOGETHER + 1 == len(found)
    rest = found[-1]
    assert 40 - AT_ONCE - TOGETHER == rest.group.number  # type: ignore[union-attr]
    assert line_of(rest).startswith(
        "24 alarms of b-16 of cpu-usage, b-17 of cpu-usage, b-18 of cpu-usage and 7 more, t-16"
    )
    assert line_of(rest).endswith(
        "; the first: t-16: in-alarm: cpu_usage is 99.5, normal is at most 75 (b-16 of cpu-usage)"
    )


def test_a_target_that_takes_nothing_for_a_day_costs_no_more_memory_and_loses_nothing() -> None:
    messages, number = Messages(MINUTE), 0
    tracemalloc.start()
    for minute in range(24 * 60):
        for _ in range(20):
            number += 1
            messages.put(event(thing=f"t-{number}", behavior=f"b-{number % 30}"), minute * MINUTE, 1e9)
        if minute == 600:
            before = tracemalloc.get_traced_memory()[0]
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after < before * 1.1
    assert len(messages) <= BACKLOG + 30
    now, found = 25 * 60 * MINUTE, []
    while len(messages):
        found += told(messages, now)
        now += MINUTE
    assert number == sum(counts(found))


def test_without_grouping_each_is_told_alone_and_the_oldest_is_dropped() -> None:
    messages = Messages(0.0, most=2)
    assert [None, None] == [messages.put(event(violation_id=name), 0.0, 1e9) for name in "ab"]
    dropped = messages.put(event(violation_id="c"), 0.0, 1e9)
    assert dropped is not None
    assert ("a", ["b", "c"]) == (dropped.event.violation_id, [each.violation_id for each in told(messages, 0.0)])


class Target:
    """A target that takes alerts once `works` is set."""

    name = "the target"
    give_up_after = 24 * 3600.0

    def __init__(self, works: bool = True) -> None:
        self.works, self.taken = works, Counter[str]()
        self.messages = 0
        self.tried = threading.Event()

    def send(self, told: Any) -> None:
        self.tried.set()
        if not self.works:
            raise AlertError("it is down")
        self.messages += 1
        self.taken[told.violation_id] += 1 if told.group is None else told.group.number


def raised(store: Store, alerts: Alerts, start: float, count: int) -> None:
    for number in range(count):
        begun = event(thing=f"t-{number}", time=start + number / 1000, violation_id=f"v-{number}")
        store.add(begun.thing, begun.time, None, [begun])
        alerts.tell(begun)
    store.flush()


def test_the_end_says_that_what_is_left_is_sent_after_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alerts = Alerts([Target(works=False)], to_log=False, group_seconds=MINUTE, directory=tmp_path)
    alerts.restore(())
    alerts.tell(event())
    alerts.close(0.2)
    assert "the target: 1 alerts were not delivered; they are sent after the next start" in caplog.text


def test_a_target_that_is_new_hears_nothing_of_the_past_and_a_suppressed_alarm_is_not_told_again(
    tmp_path: Path,
) -> None:
    (tmp_path / FILE).write_text('{"the target #1": 100.0, "another #1": 0.0}')
    target, new = Target(), Target()
    new.name = "the new one"
    alerts = Alerts([target, new], to_log=False, directory=tmp_path)
    now = time.time()
    past = [event(time=now - 2 * 24 * 3600), event(time=now, violation_id="v"), event(time=now, suppressed=True)]
    assert 1 == alerts.restore(past)  # the first is too old for any target
    alerts.close()
    assert ({"v": 1}, {}) == (dict(target.taken), dict(new.taken))


def test_a_file_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    alerts = Alerts([Target()], to_log=False, directory=tmp_path / "nowhere")
    alerts.restore(())
    with caplog.at_level(logging.INFO):
        alerts.close()
    assert 1 == caplog.text.count("alerts.json cannot be written")


@pytest.mark.slow
def test_a_burst_of_ten_thousand_through_store_and_queues_is_told_whole_in_flat_memory(tmp_path: Path) -> None:
    """At 1,000 a second, to a target that hangs for half of the time."""
    start, target = time.time(), Target(works=False)
    with Store(tmp_path) as store:
        alerts = Alerts([target], to_log=False, group_seconds=2.0, directory=tmp_path)
        alerts.restore(())
        tracemalloc.start()
        raised(store, alerts, start, 1_000)
        before = tracemalloc.get_traced_memory()[0]
        for part in range(1, 10):
            target.works = part > 5
            raised(store, alerts, start + part, 1_000)
            time.sleep(1)
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        alerts.close(PATIENCE)
    assert 10_000 == sum(target.taken.values())
    assert target.messages <= 30
    assert after < before + 1_000_000

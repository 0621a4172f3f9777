"""The job's functions, where their state, timers and broadcast meet what is decided elsewhere: without an engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from defender_detect.evaluate.percentiles import Sketch, window_of
from defender_detect.flink import lines
from defender_detect.flink.deliveries import Send
from defender_detect.flink.records import BAD_RULES, Refused
from defender_detect.flink.rules import start_with
from defender_detect.flink.thresholds import end_of
from defender_detect.metrics import FORGOTTEN_AFTER
from demo.flink.reports import make_document, make_percentile_profile, make_profile, make_record
from tests.detect.flink.test_worker import NOW, report
from tests.fakes.pyflink import imported

START = start_with(make_document(make_profile()), 0.0)
RANKED = start_with(make_document(make_percentile_profile()), 0.0)


class Kept:
    """A state of one key, or a list of them."""

    def __init__(self) -> None:
        self.content: Any = None

    def value(self) -> Any:
        return self.content

    def get(self) -> list[Any]:
        return list(self.content or [])

    def add(self, value: Any) -> None:
        self.content = [*self.get(), value]

    def update(self, value: Any) -> None:
        self.content = value

    def clear(self) -> None:
        self.content = None


class Broadcast(dict[str, str]):
    """The state of what is broadcast."""

    def put(self, key: str, value: str) -> None:
        self[key] = value


class Engine:
    """What Flink gives a function for one key: states, timers, and the time."""

    def __init__(self, function: Any, key: str = "lathe-7", broadcast: Broadcast | None = None) -> None:
        self.function, self.key, self.watermark = function, key, 0
        self.states: dict[str, Kept] = {}
        self.timers: list[int] = []
        self.refused, self.sent = 0, Broadcast() if broadcast is None else broadcast
        function.open(self)

    def get_state(self, descriptor: Any) -> Kept:
        return self.states.setdefault(descriptor.chain[0][1][0], Kept())

    get_list_state = get_state

    def get_metrics_group(self) -> Engine:
        return self

    def counter(self, name: str) -> Engine:
        return self

    def inc(self) -> None:
        self.refused += 1

    def timestamp(self) -> int:
        return 0

    def timer_service(self) -> Engine:
        return self

    def current_watermark(self) -> int:
        return self.watermark

    def register_event_time_timer(self, when: int) -> None:
        self.timers.append(when)

    def get_current_key(self) -> str:
        return self.key

    def get_broadcast_state(self, descriptor: Any) -> Broadcast:
        return self.sent

    def take(self, value: Any) -> list[Any]:
        return list(self.function.process_element(value, self))

    def hear(self, line: str) -> list[Any]:
        return list(self.function.process_broadcast_element(line, self))

    def fire(self, when: int) -> list[Any]:
        self.watermark = when
        return list(self.function.on_timer(when, self))


@pytest.fixture
def functions() -> Iterator[ModuleType]:
    """The module, imported without PyFlink."""
    with imported("functions") as (module, _):
        yield module


def kinds(found: list[str]) -> list[str]:
    return [line[0] for line in found]


def test_rules_that_compile_pass_and_of_others_it_is_said_why_not(
    functions: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Engine(functions.Gate(START), "")
    (first,) = gate.take("")
    assert lines.RULES == first[0]
    assert [] == gate.take("") == gate.take(" \n")  # after a restart
    kept = gate.states["rules"].content
    (refused,) = gate.take('{"attachments": 7}')
    assert (BAD_RULES, '{"attachments": 7}') == ((said := lines.read_refused(refused)).code, said.record)
    assert "keeping the current rules; the new ones are invalid: attachments must be" in caplog.text
    assert kept == gate.states["rules"].content
    (other,) = gate.take(make_document(make_profile(1)))
    assert (lines.RULES, True) == (other[0], other != first)


def test_a_report_becomes_an_alarm_and_a_record_that_is_none_is_counted(functions: ModuleType) -> None:
    engine = Engine(functions.Evaluate(START, 300.0))
    assert [lines.ALARM] == kinds(engine.take(report(1, NOW, 4444)))
    assert [int((NOW + FORGOTTEN_AFTER) * 1000) + 1] == engine.timers
    assert isinstance(engine.states["thing"].content, bytes)
    kept = engine.states["thing"].content
    for line, code in ((report(1, NOW, 4444), "Redelivered"), ("rubbish", "NoEnvelope")):
        (refused,) = engine.take(line)
        assert code == lines.read_refused(refused).code
    assert (2, kept) == (engine.refused, engine.states["thing"].content)


def test_of_a_thing_that_falls_silent_an_alarm_ends_and_nothing_is_kept(functions: ModuleType) -> None:
    engine = Engine(functions.Evaluate(START, 300.0))
    engine.take(report(1, NOW, 4444))
    assert [] == engine.fire(int(NOW * 1000) + 5)  # a timer for something else
    (ended,) = engine.fire(engine.timers[-1])
    assert "alarm-invalidated" == json.loads(ended[1:])["violationEventType"]
    assert None is engine.states["thing"].content


def test_other_rules_hold_from_when_they_are_broadcast_and_after_a_restart(functions: ModuleType) -> None:
    gate = Engine(functions.Gate(START), "")
    gate.take("")
    document = make_document({"securityProfileName": "none", "behaviors": []})
    (line,) = gate.take(document)
    engine = Engine(functions.Evaluate(START, 300.0))
    assert [] == engine.hear(line)
    assert [] == engine.take(report(1, NOW, 4444))
    restarted = Engine(functions.Evaluate(START, 300.0), broadcast=engine.sent)
    assert [] == restarted.take(report(1, NOW, 4444))
    assert [lines.ALARM] == kinds(Engine(functions.Evaluate(START, 300.0)).take(report(1, NOW, 4444)))


def test_what_is_compared_with_a_threshold_to_come_waits_for_it_and_so_does_what_follows(
    functions: ModuleType,
) -> None:
    engine = Engine(functions.Evaluate(RANKED, 0.0))
    for number in (1, 2):
        assert [] == engine.take(report(number, NOW + number, 22))
    assert (2, None) == (len(engine.states["held"].content), engine.states["thing"].content)
    assert [] == engine.fire(max(engine.timers))
    assert [] == engine.states["held"].get()
    assert isinstance(engine.states["thing"].content, bytes)


def test_a_window_of_all_things_becomes_one_threshold(functions: ModuleType) -> None:
    window = window_of(NOW, 300)
    end = int(end_of(window, 300) * 1000)
    keys = [json.dumps(["packets", "p50", 300, window, share]) for share in (0, 1)]
    merge = Engine(functions.Merge(), json.dumps(["packets", "p50", 300, window]))
    for key, values in zip(keys, (range(1, 51), range(51, 102))):
        share = Engine(functions.Condense(), key)
        for value in values:
            share.take(json.dumps([*json.loads(key), value]))
        assert {end} == set(share.timers)
        ((name, sketch),) = share.fire(end)
        assert json.loads(key)[:4] == json.loads(name)
        assert values[-1] == pytest.approx(Sketch.from_bytes(sketch).percentile("p100"), abs=1)
        assert [] == share.take(json.dumps([*json.loads(key), 9999]))  # its window has been counted
        assert None is share.states["values"].content
        merge.take((name, sketch))
    (line,) = merge.fire(end)
    *named, value = json.loads(line[1:])
    assert (["packets", "p50", 300, window], 51) == (named, pytest.approx(value, abs=1))
    assert None is merge.states["sketch"].content


def test_datapoints_are_found_of_behaviors_that_are_compared_with_all_things(functions: ModuleType) -> None:
    ranked, plain = Engine(functions.Sample(RANKED, 0.0)), Engine(functions.Sample(START, 0.0))
    document = {"header": {"report_id": 1, "version": "1.0"}, "metrics": {"network_stats": {"packets_in": 7}}}
    line = make_record("lathe-7", NOW, json.dumps(document).encode())
    (found,) = ranked.take(line)
    *of, share, datapoint = json.loads(found)
    assert (["p99", 300, window_of(NOW, 300)], 7) == (of[1:], datapoint)
    assert 0 <= share < 16
    assert [] == plain.take(line) == ranked.take("rubbish")


def test_what_is_refused_is_numbered_and_said_ever_more_seldom(
    functions: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    count = Engine(functions.Count(), "Late")
    line = lines.of_refused(Refused("Late", "why", "lathe-7"))
    numbers = [json.loads(count.take(line)[0])["count"] for _ in range(9)]
    assert [*range(1, 10)] == numbers
    assert ["1", "2", "4", "8"] == [each.getMessage().split()[0] for each in caplog.records]


def test_an_alarm_is_handed_over_before_the_next_one(functions: ModuleType) -> None:
    sent: list[str] = []

    class Delivery:
        def open(self) -> Callable[[str], None]:
            return sent.append

    deliver = functions.Deliver(Delivery())
    deliver.open(None)
    assert ("a", ["a"]) == (deliver.map("a"), sent)
    send: Send = deliver._send
    send("b")
    assert ["a", "b"] == sent

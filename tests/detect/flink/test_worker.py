"""A worker, without any engine: records and timers in, events and what is to be kept out."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable

import pytest

from defender_detect.evaluate import kernel
from defender_detect.evaluate.alarms import Event
from defender_detect.flink import lines
from defender_detect.flink.records import Record, Refused
from defender_detect.flink.rules import in_force, parse_rules, start_with
from defender_detect.flink.worker import TIMER, Taken, Worker
from defender_detect.metrics import FORGOTTEN_AFTER
from demo.flink.reports import make_document, make_percentile_profile, make_profile, make_record
from tests.detect.evaluate.golden import Fleet, after, before, by_detector
from tests.detect.flink.fleet import halves, said

NOW = 1_790_000_000.0
FOREVER = 4e9  # seconds
LATE = 20.0  # seconds that the watermark is behind


class Bench:
    """A worker, and what an engine keeps for it."""

    def __init__(self, document: str, interval: float = 300.0) -> None:
        self.worker = Worker(parse_rules(document)[0], interval, clock=lambda: FOREVER)
        self.kept: dict[str, bytes] = {}
        self.timers: list[tuple[float, str]] = []
        self.events: list[Event] = []

    def take(self, line: str) -> Taken:
        """Evaluate a record."""
        record = self.worker.read(line)
        assert isinstance(record, Record)
        thing = record.topic.thing
        return self._keep(thing, self.worker.take(record, self.kept.get(thing), line))

    def run(self, records: Iterable[str], end: float) -> None:
        """Evaluate records, and let the timers fire behind them, and until a time at last."""
        for line in records:
            self.fire(json.loads(line)["t"] - LATE)
            self.take(line)
        self.fire(end)

    def fire(self, watermark: float) -> None:
        """Let timers fire whose time has come, a millisecond later as an engine does."""
        while self.timers and self.timers[0][0] <= watermark:
            due, thing = heapq.heappop(self.timers)
            taken = self.worker.elapse(thing, self.kept.get(thing), due)
            if taken is not None:
                self._keep(thing, taken)

    def _keep(self, thing: str, taken: Taken) -> Taken:
        if taken.kept is None:
            self.kept.pop(thing, None)
        else:
            self.kept[thing] = taken.kept
        if taken.timer is not None:
            heapq.heappush(self.timers, (int(taken.timer * 1000 + 1) / 1000, thing))
        self.events += taken.events
        return taken


def report(report_id: int, time: float, *ports: int, thing: str = "lathe-7") -> str:
    listening = {"ports": [{"port": port} for port in ports], "total": len(ports)}
    document = {"header": {"report_id": report_id, "version": "1.0"}, "metrics": {"listening_tcp_ports": listening}}
    return make_record(thing, time, json.dumps(document).encode())


def unranked(alarms: Iterable[str]) -> list[str]:
    return [each for each in alarms if json.loads(each)["behavior"]["name"] != "packets"]


def test_the_golden_list_with_other_profiles_in_the_middle() -> None:
    """Without the percentiles, which come of many workers together: test_cluster.py."""
    fleet = Fleet(40, 36)
    early, late = halves(fleet)
    bench = Bench(before(fleet.things).to_json().decode(), 0.0)
    bench.run(early, fleet.changed)
    rules = after(fleet.things)
    start = start_with(json.dumps({**json.loads(rules.to_json()), "since": fleet.changed}), NOW)
    bench.worker.rules = in_force(json.dumps(["before", before(fleet.things).to_json().decode()]), start)
    bench.run(late, fleet.end)
    expected = unranked(said(by_detector(fleet)))
    assert 700 < len(expected)
    assert expected == unranked(said(bench.events))


def test_a_report_that_comes_twice_too_soon_or_too_late_changes_nothing() -> None:
    bench = Bench(make_document(make_profile()))
    bench.take(report(1, NOW, 22))
    bench.take(report(2, NOW + 300, 4444))
    kept, events = dict(bench.kept), list(bench.events)
    odd = [report(2, NOW + 300, 4444), report(3, NOW + 310, 22), report(1, NOW, 22), report(0, NOW + 5, 22)]
    codes = [(taken.refused or Refused("", "")).code for taken in map(bench.take, odd)]
    assert ["Redelivered", "Throttled", "Late", "InvalidPayload"] == codes
    assert (kept, events) == (bench.kept, bench.events)


def test_a_thing_has_one_timer_which_a_report_seldom_sets() -> None:
    bench = Bench(make_document(make_profile()))
    timers = [bench.take(report(number + 1, NOW + 300 * number, 22)).timer for number in range(4)]
    assert [NOW + FORGOTTEN_AFTER, None, None, None] == timers


def test_a_timer_that_fires_early_is_set_again_and_a_silent_thing_is_forgotten() -> None:
    bench = Bench(make_document(make_profile()))
    bench.take(report(1, NOW, 22))
    bench.take(report(2, NOW + 600, 22))
    bench.fire(NOW + FORGOTTEN_AFTER + 1)
    assert [NOW + 600 + FORGOTTEN_AFTER] == [pytest.approx(due, abs=0.01) for due, _ in bench.timers]
    bench.fire(NOW + 700 + FORGOTTEN_AFTER)
    assert ({}, []) == (bench.kept, bench.timers)


def test_a_timer_for_something_else_does_nothing() -> None:
    bench = Bench(make_document(make_profile()))
    bench.take(report(1, NOW, 4444))
    assert bench.worker.elapse("lathe-7", bench.kept["lathe-7"], NOW + FORGOTTEN_AFTER - 1) is None


def test_an_alarm_of_a_thing_that_falls_silent_is_invalidated_at_its_own_time() -> None:
    bench = Bench(make_document(make_profile()))
    bench.take(report(1, NOW, 4444))
    bench.fire(NOW + 2 * FORGOTTEN_AFTER)
    assert [("in-alarm", NOW), ("alarm-invalidated", NOW + FORGOTTEN_AFTER)] == [(e.type, e.time) for e in bench.events]
    assert ["A", "A"] == [lines.of_event(event)[0] for event in bench.events]


def test_the_same_records_give_the_same_ids() -> None:
    first, second = Bench(make_document(make_profile())), Bench(make_document(make_profile()))
    for bench in (first, second):
        bench.take(report(1, NOW, 4444))
    assert [event.violation_id for event in first.events] == [event.violation_id for event in second.events]


def test_a_record_waits_for_a_threshold_only_where_its_thing_is_compared_with_one() -> None:
    plain, ranked = (Bench(make_document(*each)) for each in ([make_profile()], [make_percentile_profile()]))
    line = report(1, NOW, 22)
    settled = [bench.worker.settled_at(bench.worker.read(line)) for bench in (plain, ranked)]
    assert 0 == settled[0]
    assert NOW - 600 < settled[1] / 1000 <= NOW - LATE
    assert 0 == ranked.worker.settled_at(ranked.worker.read("{}"))


def test_records_that_were_held_back_are_released_in_their_order_once_all_before_them_are_settled() -> None:
    worker = Bench(make_document(make_percentile_profile())).worker
    early, late = report(1, NOW, 22), report(2, NOW + 600, 22)
    settled = worker.settled_at(worker.read(early))
    held = [early, "{}", late, early]
    assert [] == worker.release(held, settled - 1)
    assert [early, "{}"] == [line for line, _ in worker.release(held, settled)]
    assert [Record, Refused] == [type(record) for _, record in worker.release(held, settled)]
    assert held == [line for line, _ in worker.release(held, settled + 600_000)]


def test_what_is_kept_of_a_thing_is_its_timer_and_the_kernels_state() -> None:
    bench = Bench(make_document(make_profile()))
    bench.take(report(7, NOW, 22))
    kept = bench.kept["lathe-7"]
    assert (7, NOW) == kernel.last_report(kept[TIMER.size :])
    assert (NOW + FORGOTTEN_AFTER,) == TIMER.unpack_from(kept)


def test_what_nobody_is_to_be_notified_of_and_what_is_refused_are_told_apart() -> None:
    profile = make_profile()
    profile["behaviors"] = [{**each, "suppressAlerts": True} for each in profile["behaviors"]]
    bench = Bench(make_document(profile))
    bench.take(report(1, NOW, 4444))
    assert ["Q"] == [lines.of_event(event)[0] for event in bench.events]
    refused = Refused("Late", "why", "lathe-7", "{}")
    assert "R" == lines.of_refused(refused)[0]
    assert refused == lines.read_refused(lines.of_refused(refused))

"""What is broadcast to a worker, and what it goes by after a restart."""

from __future__ import annotations

import pytest

from defender_detect.evaluate.percentiles import Ranking, window_in_force
from defender_detect.flink import lines
from defender_detect.flink.broadcast import Broadcast
from defender_detect.flink.rules import begin, in_force, start_with, succeed
from defender_detect.flink.worker import Worker
from demo.flink.reports import make_document, make_percentile_profile, make_profile

NOW = 1_790_000_130.0
START = start_with(make_document(make_profile()), NOW)
OTHER = succeed(begin(START), START, make_document(make_percentile_profile()), NOW)
RANKING = Ranking("p90", 300.0)
RANKED = {"percentile/packets-in": RANKING}


@pytest.fixture
def worker() -> Worker:
    return Worker(in_force(None, START), 300.0)


@pytest.fixture
def broadcast(worker: Worker) -> Broadcast:
    return Broadcast(worker, lambda kept: in_force(kept, START))


def threshold(window: int, value: float | None) -> str:
    return lines.of_threshold("percentile/packets-in", RANKING, window, value)


def test_rules_that_are_broadcast_hold_and_are_kept_as_they_came(broadcast: Broadcast, worker: Worker) -> None:
    assert ("rules", OTHER) == broadcast.hear(lines.RULES + OTHER, 0.0)
    assert ("percentile/packets-in",) == worker.rules.of("lathe-7").names


def test_a_threshold_that_is_broadcast_is_compared_with_and_kept_with_those_before(
    broadcast: Broadcast, worker: Worker
) -> None:
    window = window_in_force(NOW, 300.0)
    broadcast.hear(threshold(window, 949.0), NOW)
    key, kept = broadcast.hear(threshold(window + 1, None), NOW)
    assert {"percentile/packets-in": 949.0} == worker.thresholds.at(NOW, RANKED, RANKED)
    assert ("thresholds", worker.thresholds.to_json()) == (key, kept)
    assert "949.0" in kept


def test_a_threshold_that_no_record_needs_any_more_is_forgotten_by_the_watermark(broadcast: Broadcast) -> None:
    window = window_in_force(NOW, 300.0)
    broadcast.hear(threshold(window, 949.0), NOW)
    _, kept = broadcast.hear(threshold(window + 100, 1.0), NOW + 100 * 300.0)
    assert "949.0" not in kept


def test_after_a_restart_a_worker_goes_by_what_was_kept(broadcast: Broadcast, worker: Worker) -> None:
    kept = [
        broadcast.hear(lines.RULES + OTHER, 0.0),
        broadcast.hear(threshold(window_in_force(NOW, 300.0), 949.0), NOW),
    ]
    again = Worker(in_force(None, START), 300.0)
    Broadcast(again, lambda text: in_force(text, START)).restore(kept)
    assert worker.rules.to_json() == again.rules.to_json()
    assert {"percentile/packets-in": 949.0} == again.thresholds.at(NOW, RANKED, RANKED)

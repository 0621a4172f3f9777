"""Thresholds of percentiles: when every worker knows one, and for how long it is remembered."""

from __future__ import annotations

from defender_detect.evaluate.percentiles import Ranking, window_in_force
from defender_detect.flink.thresholds import Thresholds, end_of, known_at

RANKING = Ranking("p90", 300.0)
RANKED = {"fleet/packets": RANKING}


def test_a_record_that_comes_in_time_finds_its_threshold_settled() -> None:
    for now in (1_790_000_000.0, 1_790_000_130.0, 1_790_000_399.9):
        assert known_at(now, 300.0) == now // 300 * 300
    assert 300.0 == end_of(0, 300.0)


def test_the_window_in_force_says_the_threshold_and_one_that_is_not_known_is_none() -> None:
    thresholds = Thresholds()
    now = 1_790_000_130.0
    window = window_in_force(now, 300.0)
    thresholds.put("fleet/packets", RANKING, window, 949.0, now)
    assert {"fleet/packets": 949.0} == thresholds.at(now, RANKED, RANKED)
    assert {"fleet/packets": None} == thresholds.at(now + 300, RANKED, RANKED)


def test_another_statistic_or_duration_has_thresholds_of_its_own() -> None:
    thresholds = Thresholds()
    thresholds.put("fleet/packets", RANKING, 10, 949.0, 0.0)
    other = {"fleet/packets": Ranking("p50", 300.0)}
    assert {"fleet/packets": None} == thresholds.at(11 * 300.0 + 40, other, other)


def test_thresholds_are_kept_as_long_as_a_record_may_need_them_and_over_a_restart() -> None:
    thresholds, restored = Thresholds(), Thresholds()
    for window in range(100):  # all at once, as when a job catches up
        thresholds.put("fleet/packets", RANKING, window, float(window), 0.0)
    restored.restore(thresholds.to_json())
    assert {"fleet/packets": 5.0} == restored.at(6 * 300.0, RANKED, RANKED)
    restored.put("fleet/packets", RANKING, 100, 100.0, 90 * 300.0)
    assert {"fleet/packets": None} == restored.at(6 * 300.0, RANKED, RANKED)
    assert {"fleet/packets": 99.0} == restored.at(100 * 300.0, RANKED, RANKED)

"""Datapoints that many workers count: in shares, as sketches, and as the one threshold of their window."""

from __future__ import annotations

import json

from defender_detect.evaluate.percentiles import Ranking, Sketch
from defender_detect.flink import lines
from defender_detect.flink.datapoints import (
    SHARES,
    condense,
    end_of_window,
    lines_of,
    merge,
    share_of,
    threshold_of,
    value_of,
    window_key,
)
from defender_detect.flink.records import Record, read_record
from demo.flink.reports import make_record

NOW = 1_790_000_130.0
WINDOW = int(NOW // 300)
RANKED = {"fleet/packets": Ranking("p90", 300.0), "fleet/bytes": Ranking("p50", 600.0)}


def record_of(thing: str) -> Record:
    record = read_record(make_record(thing, NOW, b"{}"), 4e9, None)
    assert isinstance(record, Record)
    return record


def lines_from(thing: str, value: float) -> list[str]:
    return list(lines_of(record_of(thing), [("fleet/packets", value)], RANKED))


def test_a_line_has_a_behavior_what_is_asked_of_it_its_window_a_share_and_the_value() -> None:
    found = [
        json.loads(line)
        for line in lines_of(record_of("lathe-7"), [("fleet/packets", 7.0), ("fleet/bytes", 9)], RANKED)
    ]
    assert ["fleet/packets", "p90", 300.0, WINDOW] == found[0][:4]
    assert ["fleet/bytes", "p50", 600.0, WINDOW // 2] == found[1][:4]
    assert [7.0, 9] == [each[5] for each in found]
    assert found[0][4] == found[1][4]


def test_a_thing_has_one_share_and_a_fleet_has_all_of_them() -> None:
    assert share_of(*lines_from("lathe-7", 1.0)) == share_of(*lines_from("lathe-7", 2.0))
    shares = {share_of(*lines_from(f"lathe-{number}", 1.0)) for number in range(200)}
    assert SHARES == len(shares)
    assert 1 == len(set(map(window_key, shares)))


def test_a_window_is_counted_until_its_end_whatever_key_says_which_one_it_is() -> None:
    (line,) = lines_from("lathe-7", 1.0)
    keys = line, share_of(line), window_key(share_of(line))
    assert {(WINDOW + 1) * 300_000} == set(map(end_of_window, keys))
    assert 1.0 == value_of(line)


def test_sketches_of_shares_make_the_threshold_of_all_values() -> None:
    shares = [range(start, 1000, 3) for start in range(3)]
    sketch = None
    for share in shares:
        sketch = merge(sketch, condense(map(float, share)))
    assert sketch is not None
    whole = Sketch()
    for value in range(1000):
        whole.add(float(value))
    (line,) = lines_from("lathe-7", 1.0)
    expected = lines.of_threshold("fleet/packets", RANKED["fleet/packets"], WINDOW, whole.percentile("p90"))
    assert expected == threshold_of(window_key(share_of(line)), sketch)
    assert lines.THRESHOLD == expected[0]

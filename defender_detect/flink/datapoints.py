"""Datapoints on their way to a percentile: as lines, in the shares of a window, as sketches, and as its threshold.

A line is a JSON list: behavior, statistic, durationSeconds, window, share, value. All but the last are the key of a
share, and all but the last two that of a window.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping

from defender_detect.evaluate.percentiles import Ranking, Sketch, window_of
from defender_detect.evaluate.ruleset import Name
from defender_detect.flink import lines
from defender_detect.flink.records import Record
from defender_detect.flink.thresholds import end_of

SHARES = 16  # of a window's datapoints, so that no one worker counts all; thread mode says nobody's number


def lines_of(record: Record, datapoints: Iterable[tuple[Name, float]], ranked: Mapping[Name, Ranking]) -> Iterator[str]:
    """Yield a record's datapoints, each with its behavior, its window and its thing's share."""
    share = zlib.crc32(record.topic.thing.encode()) % SHARES
    for name, datapoint in datapoints:
        statistic, duration = ranked[name]
        yield json.dumps([name, statistic, duration, window_of(record.time, duration), share, datapoint])


def share_of(line: str) -> str:
    """Return the key of the share that a line belongs to."""
    return json.dumps(json.loads(line)[:5])


def window_key(share: str) -> str:
    """Return the key of the window that a share is of."""
    return json.dumps(json.loads(share)[:4])


def end_of_window(key: str) -> int:
    """Return until when a window's datapoints are counted, in milliseconds; of its key, a share's, or a line."""
    _, _, duration, window, *_ = json.loads(key)
    return int(end_of(window, duration) * 1000)


def value_of(line: str) -> float:
    """Return the datapoint of a line."""
    return float(json.loads(line)[5])


def condense(values: Iterable[float]) -> bytes:
    """Make a sketch of values."""
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    return sketch.to_bytes()


def merge(kept: bytes | None, found: bytes) -> bytes:
    """Return the sketch of what is in both; None is nothing."""
    sketch = Sketch.from_bytes(found)
    if kept is not None:
        sketch.merge(Sketch.from_bytes(kept))
    return sketch.to_bytes()


def threshold_of(key: str, sketch: bytes) -> str:
    """Return the threshold of a window, as the line that is broadcast."""
    name, statistic, duration, window = json.loads(key)
    value = Sketch.from_bytes(sketch).percentile(statistic)
    return lines.of_threshold(name, Ranking(statistic, duration), window, value)

"""The export of metrics that security profiles ask for: batches on their MQTT topics, in AWS's schema, version 1.0.

AWS publishes neither its interval nor the unit of `timestamp`; here a batch is a minute old at most, and the unit is
that of `violationEventTime`.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from defender_detect.alerts.followers import Reported, Worker
from defender_detect.alerts.target import Publish
from defender_detect.evaluate.shapes import kind_of, metric_value
from device_defender.report import LARGEST_PAYLOAD

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event, Violation
    from defender_detect.metrics import Value

INTERVAL = 60.0  # seconds
BATCH = 500  # values; as many are published at once, about 60 KB
MOST_WAITING = 100_000  # values, about 30 MB; beyond them the oldest are dropped
VERSION = "1.0"  # of the schema
FIRST = 1  # version of a value; nothing here is corrected later
HEAD, TAIL = f'{{"version":"{VERSION}","metrics":['.encode(), b"]}"

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class Exported(NamedTuple):
    """What one value is made of."""

    thing: str
    time: float
    metric: str
    value: Value


class MetricsExporter:
    """Publishes the values of some metrics of some profiles on one topic."""

    hears_reports = True

    def __init__(
        self, topic: str, metrics: Mapping[str, Iterable[str]], publish: Publish, interval: float = INTERVAL
    ) -> None:
        """Prepare to publish on `topic`; `metrics` are the names to be exported, by profile."""
        self.name = f"metrics to the topic {topic}"
        self._topic, self._publish, self._interval = topic, publish, interval
        self._metrics = {profile: frozenset(names) for profile, names in metrics.items()}
        self._waiting: deque[Exported] = deque()
        self._dropped = 0
        self._worker = Worker(self.name, self._work, 0.0 if interval < 1 else 0.1)

    def begin(self, active: Iterable[Violation]) -> None:
        """Begin to publish."""
        self._worker.start()

    def tell(self, event: Event) -> None:
        """Ignore an alarm."""

    def report(self, reported: Reported) -> None:
        """Let a report's values wait for their batch."""
        names = frozenset[str]().union(*(self._metrics.get(profile, ()) for profile in reported.profiles))
        found = [
            Exported(reported.thing, reported.time, name, value)
            for name, value in reported.values.items()
            if name in names
        ]
        with self._worker.changed:
            self._waiting.extend(found)
            self._bound()
            if len(self._waiting) >= BATCH:
                self._worker.wake()

    def close(self, timeout: float) -> None:
        """Publish what waits."""
        with self._worker.changed:
            if self._waiting:
                self._worker.wake()
        self._worker.close(timeout)

    def _work(self) -> float:
        """Publish all that waits, a message after the other."""
        while True:
            with self._worker.changed:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if not batch:
                return self._interval
            try:
                for payload in payloads_of(batch):
                    self._publish(self._topic, payload)
            except BaseException:
                with self._worker.changed:
                    self._waiting.extendleft(reversed(batch))
                raise

    def _bound(self) -> None:
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self._dropped += 1
            if self._dropped == 1:
                log.error("%s: %d values are waiting; the oldest are dropped from now on", self.name, MOST_WAITING)


def payloads_of(batch: Iterable[Exported]) -> Iterator[bytes]:
    """Yield values as messages in AWS's schema, none larger than a message may be."""
    parts: list[bytes] = []
    size = len(HEAD) + len(TAIL)
    for part in map(encode_one, batch):
        if parts and size + len(part) + 1 > LARGEST_PAYLOAD:
            yield HEAD + b",".join(parts) + TAIL
            parts, size = [], len(HEAD) + len(TAIL)
        parts.append(part)
        size += len(part) + 1
    if parts:
        yield HEAD + b",".join(parts) + TAIL


def encode_one(exported: Exported) -> bytes:
    """Return a value in AWS's schema."""
    value: dict[str, Any] = metric_value(kind_of(exported.metric, [exported.value]), exported.value)
    entry = {
        "name": exported.metric,
        "thing": exported.thing,
        "value": value,
        "version": FIRST,
        "timestamp": round(exported.time * 1000),
    }
    try:
        return _encode(entry)
    except (UnicodeEncodeError, OverflowError):  # half a surrogate pair in a list of strings, or a huge number
        return json.dumps(entry).encode()

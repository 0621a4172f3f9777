"""The job's functions for Flink: where state, timers and broadcast meet what is evaluated elsewhere."""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections.abc import Iterator
from typing import Any

from pyflink.common import Types
from pyflink.common.watermark_strategy import TimestampAssigner
from pyflink.datastream import KeyedBroadcastProcessFunction, KeyedProcessFunction, MapFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor, MapStateDescriptor, ValueStateDescriptor

from defender_detect.errors import ProfileError
from defender_detect.evaluate.percentiles import Ranking, Sketch, window_of
from defender_detect.evaluate.rules import Rules
from defender_detect.flink import lines, rules
from defender_detect.flink.deliveries import Delivery
from defender_detect.flink.records import BAD_RULES, Record, Refused, begin, time_of
from defender_detect.flink.thresholds import end_of
from defender_detect.flink.worker import Taken, Worker

# PRIMITIVE_ARRAY(BYTE) cannot be read in thread mode while it is empty.
KEPT = ValueStateDescriptor("thing", Types.PICKLED_BYTE_ARRAY())
HELD = ListStateDescriptor("held", Types.STRING())
BROADCAST = MapStateDescriptor("broadcast", Types.STRING(), Types.STRING())
RULES, THRESHOLDS = "rules", "thresholds"  # the keys of the broadcast state
SHARES = 16  # of a window's datapoints, so that no one worker counts all; thread mode says nobody's number
CODES = ValueStateDescriptor("count", Types.PICKLED_BYTE_ARRAY())

log = logging.getLogger(__name__)


class Times(TimestampAssigner):
    """The broker's time of a record, for sources that have none of their own."""

    def extract_timestamp(self, value: str, record_timestamp: int) -> int:
        """Return it in milliseconds."""
        return int(time_of(value) * 1000)


class Gate(KeyedProcessFunction):
    """Lets rules documents through that compile; of others it says why not, and the rules stay as they are."""

    def __init__(self, start: rules.Start) -> None:
        self._start = start

    def open(self, context: RuntimeContext) -> None:
        """Take up what is in force."""
        self._kept = context.get_state(ValueStateDescriptor(RULES, Types.STRING()))

    def process_element(self, value: str, context: Any) -> Iterator[str]:
        """Check a document."""
        kept = self._kept.value()
        if not value.strip() and kept is not None:
            return
        try:
            is_first = not value.strip()  # what the job was started with is broadcast, to be known after a restart
            after = rules.begin(self._start) if is_first else rules.succeed(kept, self._start, value, time.time())
        except ProfileError as error:
            sentence = "; ".join(error.problems)
            log.error("keeping the current rules; the new ones are invalid: %s", sentence)
            yield lines.of_refused(Refused(BAD_RULES, sentence, "", begin(value)))
            return
        self._kept.update(after)
        yield lines.RULES + after


class Following(KeyedBroadcastProcessFunction):
    """Goes by the rules and the thresholds that are broadcast, and keeps a state and one timer for each thing."""

    def __init__(self, start: rules.Start, minimum_interval: float) -> None:
        self._start, self._minimum_interval = start, minimum_interval

    def open(self, context: RuntimeContext) -> None:
        """Begin with the rules that the job was started with."""
        self._worker = Worker(self._compile(None), self._minimum_interval)
        self._kept, self._is_caught_up = context.get_state(KEPT), False
        self._passed = 0  # the watermark when it was read last; in thread mode a broadcast element cannot ask for it

    def process_broadcast_element(self, value: str, context: Any) -> Iterator[str]:
        """Go on with other rules, or with a threshold."""
        self._catch_up(context)
        state = context.get_broadcast_state(BROADCAST)
        if value[0] == lines.RULES:
            self._worker.rules = self._compile(value[1:])
            state.put(RULES, value[1:])
        elif value[0] == lines.THRESHOLD:
            name, statistic, duration, window, threshold = json.loads(value[1:])
            self._worker.thresholds.put(name, Ranking(statistic, duration), window, threshold, self._passed / 1000)
            state.put(THRESHOLDS, self._worker.thresholds.to_json())
        yield from ()

    def _compile(self, kept: str | None) -> Rules:
        return rules.in_force(kept, self._start)

    def _catch_up(self, context: Any) -> None:
        """Read what was broadcast before a restart: once, because each look costs a call to Java."""
        if self._is_caught_up:
            return
        self._is_caught_up = True
        for key, value in context.get_broadcast_state(BROADCAST).items():
            if key == RULES:
                self._worker.rules = self._compile(value)
            else:
                self._worker.thresholds.restore(value)

    def _read(self, value: str, context: Any) -> Record | Refused:
        arrived = context.timestamp()
        return self._worker.read(value, arrived / 1000 if arrived and arrived > 0 else None)

    def _keep(self, taken: Taken, timers: Any) -> None:
        if taken.kept is None:
            self._kept.clear()
        else:
            self._kept.update(taken.kept)
        if taken.timer is not None:
            timers.register_event_time_timer(int(taken.timer * 1000) + 1)

    def _elapse(self, timestamp: int, context: Any) -> Iterator[str]:
        taken = self._worker.elapse(context.get_current_key(), self._kept.value(), timestamp / 1000)
        if taken is not None:  # otherwise the timer was for records that were held back
            self._keep(taken, context.timer_service())
            yield from map(lines.of_event, taken.events)


class Evaluate(Following):
    """Evaluates the reports of a thing."""

    def open(self, context: RuntimeContext) -> None:
        """Take up what is kept."""
        super().open(context)
        self._held = context.get_list_state(HELD)
        self._refused = context.get_metrics_group().counter("refused")

    def process_element(self, value: str, context: Any) -> Iterator[str]:
        """Evaluate a record, or hold it back until the threshold that it is compared with is known to everybody."""
        self._catch_up(context)
        record, timers = self._read(value, context), context.timer_service()
        settled = 0 if isinstance(record, Refused) else int(self._worker.settled_at(record) * 1000)
        if settled:
            self._passed = timers.current_watermark()
            if self._passed < settled or any(self._held.get()):
                self._held.add(value)
                timers.register_event_time_timer(settled)
                return
        yield from self._take(record, value, timers)

    def on_timer(self, timestamp: int, context: Any) -> Iterator[str]:
        """Evaluate what was held back, and what follows from silence."""
        self._catch_up(context)
        self._passed = timestamp
        if held := list(self._held.get()):
            yield from self._release(held, timestamp, context)
        yield from self._elapse(timestamp, context)

    def _release(self, held: list[str], timestamp: int, context: Any) -> Iterator[str]:
        """Evaluate what was held back until now; what comes after a record that has to wait, waits with it."""
        records = [(value, self._worker.read(value, timestamp / 1000)) for value in held]
        settled = [0 if isinstance(each, Refused) else int(self._worker.settled_at(each) * 1000) for _, each in records]
        ready = next((index for index, each in enumerate(settled) if each > timestamp), len(held))
        for value, record in records[:ready]:
            yield from self._take(record, value, context.timer_service())
        self._held.update(held[ready:])

    def _take(self, record: Record | Refused, value: str, timers: Any) -> Iterator[str]:
        if isinstance(record, Refused):
            refused: Refused | None = record
        else:
            taken = self._worker.take(record, self._kept.value(), value)
            refused = taken.refused
            if refused is None:
                self._keep(taken, timers)
                yield from map(lines.of_event, taken.events)
        if refused is not None:
            self._refused.inc()
            yield lines.of_refused(refused)


class Sample(Following):
    """Finds the datapoints of behaviors with a statisticalThreshold, which need no threshold themselves."""

    def _compile(self, kept: str | None) -> Rules:
        return rules.only_ranked(super()._compile(kept))

    def process_element(self, value: str, context: Any) -> Iterator[str]:
        """Put out a record's datapoints, each with its behavior, its window and one of SHARES."""
        self._catch_up(context)
        ranked = self._worker.rules.ranked
        record = self._read(value, context) if ranked else None
        if not isinstance(record, Record):
            return
        taken = self._worker.take(record, self._kept.value(), value)
        if taken.refused is not None:
            return
        self._keep(taken, context.timer_service())
        share = zlib.crc32(record.topic.thing.encode()) % SHARES
        for name, datapoint in taken.datapoints:
            statistic, duration = ranked[name]
            yield json.dumps([name, statistic, duration, window_of(record.time, duration), share, datapoint])

    def on_timer(self, timestamp: int, context: Any) -> Iterator[str]:
        """Forget a thing that is silent; its events are for others to tell."""
        self._catch_up(context)
        for _ in self._elapse(timestamp, context):
            pass
        yield from ()


class Condense(KeyedProcessFunction):
    """Makes a sketch of a share of one window's datapoints, once they have been counted."""

    def open(self, context: RuntimeContext) -> None:
        """Take up the values; a list costs less than a sketch that is read and written with each."""
        self._values = context.get_list_state(ListStateDescriptor("values", Types.DOUBLE()))

    def process_element(self, value: str, context: Any) -> Iterator[Any]:
        """Count a datapoint, unless its window has been counted."""
        _, _, duration, window, _, datapoint = json.loads(value)
        end = int(end_of(window, duration) * 1000)
        if context.timer_service().current_watermark() < end:
            self._values.add(float(datapoint))
            context.timer_service().register_event_time_timer(end)
        yield from ()

    def on_timer(self, timestamp: int, context: Any) -> Iterator[Any]:
        """Put out the sketch, with the key of its window."""
        sketch = Sketch()
        for value in self._values.get():
            sketch.add(value)
        self._values.clear()
        yield json.dumps(json.loads(context.get_current_key())[:4]), sketch.to_bytes()


class Merge(KeyedProcessFunction):
    """Makes one threshold of all sketches of a window."""

    def open(self, context: RuntimeContext) -> None:
        """Take up the sketch."""
        self._sketch = context.get_state(ValueStateDescriptor("sketch", Types.PICKLED_BYTE_ARRAY()))

    def process_element(self, value: Any, context: Any) -> Iterator[str]:
        """Merge a sketch."""
        key, found = value
        kept = self._sketch.value()
        sketch = Sketch.from_bytes(found)
        if kept is not None:
            sketch.merge(Sketch.from_bytes(kept))
        self._sketch.update(sketch.to_bytes())
        _, _, duration, window = json.loads(key)
        context.timer_service().register_event_time_timer(int(end_of(window, duration) * 1000))
        yield from ()

    def on_timer(self, timestamp: int, context: Any) -> Iterator[str]:
        """Put out the threshold."""
        name, statistic, duration, window = json.loads(context.get_current_key())
        sketch = Sketch.from_bytes(self._sketch.value())
        self._sketch.clear()
        yield lines.of_threshold(name, Ranking(statistic, duration), window, sketch.percentile(statistic))


class Count(KeyedProcessFunction):
    """Counts refused records by their code, and says so in the log, ever more seldom."""

    def open(self, context: RuntimeContext) -> None:
        """Take up the count."""
        self._count = context.get_state(CODES)

    def process_element(self, value: str, context: Any) -> Iterator[str]:
        """Put out a refused record with how many of its code there were."""
        refused, count = lines.read_refused(value), (self._count.value() or 0) + 1
        self._count.update(count)
        if count & (count - 1) == 0:
            log.warning("%d records were refused: %s: %s", count, refused.code, refused.reason)
        yield refused.line(count)


class Deliver(MapFunction):
    """Hands each alarm over, and is not done with it before that."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def open(self, context: RuntimeContext) -> None:
        """Connect."""
        self._send = self._delivery.open()

    def map(self, value: str) -> str:
        """Hand one over."""
        self._send(value)
        return value

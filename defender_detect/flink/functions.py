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
from defender_detect.evaluate.percentiles import Sketch, window_of
from defender_detect.flink import lines, rules
from defender_detect.flink.deliveries import Delivery
from defender_detect.flink.records import BAD_RULES, Record, Refused, begin, time_of
from defender_detect.flink.thresholds import end_of
from defender_detect.flink.worker import Worker

# PRIMITIVE_ARRAY(BYTE) cannot be read in thread mode while it is empty.
KEPT = ValueStateDescriptor("thing", Types.PICKLED_BYTE_ARRAY())
HELD = ListStateDescriptor("held", Types.STRING())
BROADCAST = MapStateDescriptor("broadcast", Types.STRING(), Types.STRING())
RULES = "rules"  # the key in the broadcast state that is no behavior's name, which has a "/"
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
        if not value.strip():
            return
        try:
            after = rules.succeed(self._kept.value(), self._start, value, time.time())
        except ProfileError as error:
            sentence = "; ".join(error.problems)
            log.error("keeping the current rules; the new ones are invalid: %s", sentence)
            yield lines.of_refused(Refused(BAD_RULES, sentence, "", begin(value)))
            return
        log.info("going on with new rules")
        self._kept.update(after)
        yield lines.RULES + after


class Following(KeyedBroadcastProcessFunction):
    """Goes by the rules and the thresholds that are broadcast."""

    def __init__(self, start: rules.Start, minimum_interval: float) -> None:
        self._start, self._minimum_interval = start, minimum_interval

    def open(self, context: RuntimeContext) -> None:
        """Begin with the rules that the job was started with; what was broadcast before is read with the first."""
        self._worker = Worker(self._compile(None), self._minimum_interval)
        self._is_restored = False

    def _compile(self, kept: str | None) -> rules.Rules:
        return rules.in_force(kept, self._start)

    def _restore(self, context: Any) -> None:
        """Read what was broadcast before a restart; nothing does so by itself, and each look costs a call to Java."""
        self._is_restored = True
        for key, value in context.get_broadcast_state(BROADCAST).items():
            if key == RULES:
                self._worker.rules = self._compile(value)
            else:
                self._worker.thresholds.restore(key, value)

    def process_broadcast_element(self, value: str, context: Any) -> Iterator[str]:
        """Go on with other rules, or with a threshold."""
        if not self._is_restored:
            self._restore(context)
        state = context.get_broadcast_state(BROADCAST)
        if value[0] == lines.RULES:
            self._worker.rules = self._compile(value[1:])
            state.put(RULES, value[1:])
        elif value[0] == lines.THRESHOLD:
            name, window, threshold = json.loads(value[1:])
            self._worker.thresholds.put(name, window, threshold)
            state.put(name, self._worker.thresholds.to_json(name))
        yield from ()


class Evaluate(Following):
    """Evaluates the reports of a thing."""

    def open(self, context: RuntimeContext) -> None:
        """Take up what is kept."""
        super().open(context)
        self._kept, self._held = context.get_state(KEPT), context.get_list_state(HELD)
        self._refused = context.get_metrics_group().counter("refused")

    def process_element(self, value: str, context: Any) -> Iterator[str]:
        """Evaluate a record, or hold it back until the threshold that it is compared with is known to everybody."""
        if not self._is_restored:
            self._restore(context)
        arrived = context.timestamp()
        record = self._worker.read(value, None if arrived is None else arrived / 1000)
        if isinstance(record, Refused):
            yield from self._refuse(record)
            return
        settled = int(self._worker.settled_at(record) * 1000)
        timers = context.timer_service()
        if settled and (timers.current_watermark() < settled or any(self._held.get())):
            self._held.add(value)
            timers.register_event_time_timer(settled)
            return
        yield from self._take(record, value, timers)

    def on_timer(self, timestamp: int, context: Any) -> Iterator[str]:
        """Evaluate what was held back, and what follows from silence."""
        if not self._is_restored:
            self._restore(context)
        timers = context.timer_service()
        yield from self._release(timestamp, timers)
        taken = self._worker.elapse(context.get_current_key(), self._kept.value(), timestamp / 1000)
        if taken.kept is None:
            self._kept.clear()
        else:
            self._kept.update(taken.kept)
        if taken.timer is not None:
            timers.register_event_time_timer(int(taken.timer * 1000) + 1)
        yield from map(lines.of_event, taken.events)

    def _release(self, timestamp: int, timers: Any) -> Iterator[str]:
        held = list(self._held.get())
        if not held:
            return
        left = []
        for value in held:
            record = self._worker.read(value)
            if isinstance(record, Refused):
                yield from self._refuse(record)
            elif left or self._worker.settled_at(record) * 1000 > timestamp:
                left.append(value)
            else:
                yield from self._take(record, value, timers)
        self._held.update(left)

    def _take(self, record: Record, value: str, timers: Any) -> Iterator[str]:
        taken = self._worker.take(record, self._kept.value(), value)
        if taken.refused is not None:
            yield from self._refuse(taken.refused)
            return
        self._kept.update(taken.kept)
        if taken.timer is not None:
            timers.register_event_time_timer(int(taken.timer * 1000) + 1)
        yield from map(lines.of_event, taken.events)

    def _refuse(self, refused: Refused) -> Iterator[str]:
        self._refused.inc()
        yield lines.of_refused(refused)


class Sample(Following):
    """Finds the datapoints of behaviors with a statisticalThreshold, which need no threshold themselves."""

    def _compile(self, kept: str | None) -> rules.Rules:
        return rules.only_ranked(super()._compile(kept))

    def open(self, context: RuntimeContext) -> None:
        """Take up what is kept."""
        super().open(context)
        self._kept = context.get_state(KEPT)

    def process_element(self, value: str, context: Any) -> Iterator[str]:
        """Put out a record's datapoints, each with its behavior, its window and one of SHARES."""
        if not self._is_restored:
            self._restore(context)
        ranked = self._worker.rules.ranked
        if not ranked:
            return
        record = self._worker.read(value, (context.timestamp() or 0) / 1000)
        if isinstance(record, Refused):
            return
        taken = self._worker.take(record, self._kept.value(), value)
        if taken.kept is not None and taken.refused is None:
            self._kept.update(taken.kept)
        if taken.timer is not None:
            context.timer_service().register_event_time_timer(int(taken.timer * 1000) + 1)
        for name, datapoint in taken.datapoints:
            duration, statistic = ranked[name].duration, ranked[name].statistic
            window = window_of(taken.time, duration)
            share = zlib.crc32(record.topic.thing.encode()) % SHARES
            yield json.dumps([name, window, duration, statistic, share, datapoint])

    def on_timer(self, timestamp: int, context: Any) -> Iterator[str]:
        """Forget a thing that is silent."""
        taken = self._worker.elapse(context.get_current_key(), self._kept.value(), timestamp / 1000)
        if taken.kept is None:
            self._kept.clear()
        else:
            self._kept.update(taken.kept)
        if taken.timer is not None:
            context.timer_service().register_event_time_timer(int(taken.timer * 1000) + 1)
        yield from ()


class Condense(KeyedProcessFunction):
    """Makes a sketch of a share of one window's datapoints, once they have been counted."""

    def open(self, context: RuntimeContext) -> None:
        """Take up the values; a list costs less than a sketch that is read and written with each."""
        self._values = context.get_list_state(ListStateDescriptor("values", Types.DOUBLE()))

    def process_element(self, value: str, context: Any) -> Iterator[Any]:
        """Count a datapoint, unless its window has been counted."""
        _, window, duration, _, _, datapoint = json.loads(value)
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
        _, window, duration, _ = json.loads(key)
        context.timer_service().register_event_time_timer(int(end_of(window, duration) * 1000))
        yield from ()

    def on_timer(self, timestamp: int, context: Any) -> Iterator[str]:
        """Put out the threshold."""
        name, window, _, statistic = json.loads(context.get_current_key())
        sketch = Sketch.from_bytes(self._sketch.value())
        self._sketch.clear()
        yield lines.of_threshold(name, window, sketch.percentile(statistic))


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

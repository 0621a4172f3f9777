"""The job's functions for Flink: nothing but where its state, timers and broadcast meet what is decided elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

from pyflink.common import Types
from pyflink.datastream import KeyedBroadcastProcessFunction, KeyedProcessFunction, MapFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor, MapStateDescriptor, ValueStateDescriptor

from defender_detect.errors import ProfileError
from defender_detect.evaluate.rules import Rules
from defender_detect.flink import datapoints, lines, rules
from defender_detect.flink.broadcast import RULES, Broadcast
from defender_detect.flink.deliveries import Delivery
from defender_detect.flink.records import BAD_RULES, Record, Refused, begin
from defender_detect.flink.worker import Taken, Worker

# PRIMITIVE_ARRAY(BYTE) cannot be read in thread mode while it is empty.
KEPT = ValueStateDescriptor("thing", Types.PICKLED_BYTE_ARRAY())
HELD = ListStateDescriptor("held", Types.STRING())
BROADCAST = MapStateDescriptor("broadcast", Types.STRING(), Types.STRING())
CODES = ValueStateDescriptor("count", Types.PICKLED_BYTE_ARRAY())

log = logging.getLogger(__name__)


class Gate(KeyedProcessFunction):
    """Lets rules documents through that compile; of others it says why not, and the rules stay as they are."""

    def __init__(self, start: rules.Start) -> None:
        self._start = start

    def open(self, context: RuntimeContext) -> None:
        """Take up what is in force."""
        self._kept = context.get_state(ValueStateDescriptor(RULES, Types.STRING()))

    def process_element(self, value: str, context: Any) -> Iterator[str]:
        """Check a document."""
        try:
            after = rules.update(self._kept.value(), self._start, value, time.time())
        except ProfileError as error:
            sentence = "; ".join(error.problems)
            log.error("keeping the current rules; the new ones are invalid: %s", sentence)
            yield lines.of_refused(Refused(BAD_RULES, sentence, "", begin(value)))
            return
        if after is not None:
            self._kept.update(after)
            yield lines.RULES + after


class Following(KeyedBroadcastProcessFunction):
    """Goes by the rules and the thresholds that are broadcast, and keeps a state and one timer for each thing."""

    def __init__(self, start: rules.Start, minimum_interval: float) -> None:
        self._start, self._minimum_interval = start, minimum_interval

    def open(self, context: RuntimeContext) -> None:
        """Begin with the rules that the job was started with."""
        self._worker = Worker(self._compile(None), self._minimum_interval)
        self._broadcast = Broadcast(self._worker, self._compile)
        self._kept, self._is_caught_up = context.get_state(KEPT), False
        self._passed = 0  # the watermark when it was read last; in thread mode a broadcast element cannot ask for it

    def process_broadcast_element(self, value: str, context: Any) -> Iterator[str]:
        """Go on with other rules, or with a threshold."""
        self._catch_up(context)
        context.get_broadcast_state(BROADCAST).put(*self._broadcast.hear(value, self._passed / 1000))
        yield from ()

    def _compile(self, kept: str | None) -> Rules:
        return rules.in_force(kept, self._start)

    def _catch_up(self, context: Any) -> None:
        """Read what was broadcast before a restart: once, because each look costs a call to Java."""
        if not self._is_caught_up:
            self._is_caught_up = True
            self._broadcast.restore(context.get_broadcast_state(BROADCAST).items())

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
        if settled := self._worker.settled_at(record):
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
            released = self._worker.release(held, timestamp)
            for value, record in released:
                yield from self._take(record, value, context.timer_service())
            self._held.update(held[len(released) :])
        yield from self._elapse(timestamp, context)

    def _take(self, record: Record | Refused, value: str, timers: Any) -> Iterator[str]:
        if isinstance(record, Refused):
            taken = Taken(None, refused=record)
        else:
            taken = self._worker.take(record, self._kept.value(), value)
        if taken.refused is None:
            self._keep(taken, timers)
            yield from map(lines.of_event, taken.events)
        else:
            self._refused.inc()
            yield lines.of_refused(taken.refused)


class Sample(Following):
    """Finds the datapoints of behaviors with a statisticalThreshold, which need no threshold themselves."""

    def _compile(self, kept: str | None) -> Rules:
        return rules.only_ranked(super()._compile(kept))

    def process_element(self, value: str, context: Any) -> Iterator[str]:
        """Put out a record's datapoints."""
        self._catch_up(context)
        ranked = self._worker.rules.ranked
        record = self._read(value, context) if ranked else None
        if not isinstance(record, Record):
            return
        taken = self._worker.take(record, self._kept.value(), value)
        if taken.refused is None:
            self._keep(taken, context.timer_service())
            yield from datapoints.lines_of(record, taken.datapoints, ranked)

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
        end = datapoints.end_of_window(value)
        if context.timer_service().current_watermark() < end:
            self._values.add(datapoints.value_of(value))
            context.timer_service().register_event_time_timer(end)
        yield from ()

    def on_timer(self, timestamp: int, context: Any) -> Iterator[Any]:
        """Put out the sketch, with the key of its window."""
        sketch = datapoints.condense(self._values.get())
        self._values.clear()
        yield datapoints.window_key(context.get_current_key()), sketch


class Merge(KeyedProcessFunction):
    """Makes one threshold of all sketches of a window."""

    def open(self, context: RuntimeContext) -> None:
        """Take up the sketch."""
        self._sketch = context.get_state(ValueStateDescriptor("sketch", Types.PICKLED_BYTE_ARRAY()))

    def process_element(self, value: Any, context: Any) -> Iterator[str]:
        """Merge a sketch."""
        key, found = value
        self._sketch.update(datapoints.merge(self._sketch.value(), found))
        context.timer_service().register_event_time_timer(datapoints.end_of_window(key))
        yield from ()

    def on_timer(self, timestamp: int, context: Any) -> Iterator[str]:
        """Put out the threshold."""
        sketch = self._sketch.value()
        self._sketch.clear()
        yield datapoints.threshold_of(context.get_current_key(), sketch)


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

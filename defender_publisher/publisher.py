"""The publisher: looks at the device, makes reports, sends them when they are due, and remembers what was accepted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from defender_publisher.device import Device
from defender_publisher.encoding import encode_within
from defender_publisher.errors import DefenderError, NotConnected, Rejected
from defender_publisher.report import build_report, summarize
from defender_publisher.schedule import Schedule
from defender_publisher.settings import Settings
from defender_publisher.snapshot import Snapshot, Sockets
from defender_publisher.state import Baseline, State
from defender_publisher.transport import Delivery, Transport
from defender_publisher.window import Window

log = logging.getLogger("defender_publisher")

OFFLINE_CHECK = 2.0  # seconds between two looks whether a report that is due can go out
LONGEST_BACKOFF = 16  # cycles to wait at most when Device Defender answers Throttled again and again
ADVICE = {
    "InvalidPayload": "send this line to the project, with the report that debug mode logs",
    "Throttled": "one report per 300 s and thing is taken; look for a second publisher of this thing",
}


class Store(Protocol):
    """Where the state outlives this process."""

    def load(self, thing_name: str) -> State:
        """Return what was kept for this thing."""

    def save(self, state: State) -> None:
        """Keep the state."""


class Publisher:
    """The publisher of one thing's reports; `look` and `report` are its jobs and return when they are due again."""

    def __init__(
        self,
        settings: Settings,
        device: Device,
        transport: Transport,
        store: Store,
        clock: Callable[[], float] = time.time,
    ) -> None:
        agent = settings.agent
        self._settings = settings
        self._device = device
        self._transport = transport
        self._store = store
        self._clock = clock
        self._state = store.load(settings.thing_name)
        self._schedule = Schedule(settings.thing_name, agent.publish_interval)
        self._window = Window(agent.publish_interval)
        self._throttled = 0

    @property
    def looks_between(self) -> bool:
        """Whether `look` is a job of its own, due more often than `report`."""
        return self._settings.agent.looks_between

    def first_delay(self) -> float:
        """Return the seconds until the first report is due."""
        sent_at = self._state.published_at
        delay = self._schedule.first_delay(None if sent_at is None else self._clock() - sent_at)
        log.info("reporting for %s every %d s, first in %.0f s", self._state.thing_name, self._schedule.interval, delay)
        return delay

    def start_growth(self) -> None:
        """Measure growth from now on, instead of from the last accepted report."""
        self._keep_baseline(self._device.snapshot(Sockets()))

    def look(self) -> float:
        """Look at the device's sockets; return the seconds until the next look. A report holds all since the last."""
        self._window.add(self._device.look(), self._clock())
        return float(self._settings.agent.look_interval)

    def report(self) -> float:
        """Send one report if there is a connection, log what became of it, and return the seconds until the next."""
        if not self._transport.connected:
            return OFFLINE_CHECK
        try:
            self.publish()
        except NotConnected as error:
            log.info("the report waits for a connection: %s", error)
            return OFFLINE_CHECK
        except DefenderError as error:
            log.error("%s%s", error, _advice(error))
            self._throttled = self._throttled + 1 if isinstance(error, Rejected) and error.throttled else 0
        else:
            self._throttled = 0
        return self._seconds_to_next()

    def publish(self) -> Delivery:
        """Make a report of what the device shows now and publish it; raises as `Transport.publish`, or CollectError."""
        self.look()
        seen = self._window.take()
        try:
            return self._publish(self._device.snapshot(seen))
        except Exception:
            self._window.put_back(seen)
            raise

    def _publish(self, snapshot: Snapshot) -> Delivery:
        report_id = max(self._state.last_report_id + 1, int(self._clock()))
        agent, metrics = self._settings.agent, self._settings.config.metrics
        report = build_report(report_id, snapshot, self._state.baseline, metrics)
        payload = encode_within(report, agent.format, agent.short_names)
        log.debug("report %d: %s", report_id, msgspec.json.encode(report).decode())
        self._keep(last_report_id=report_id, published_at=self._clock())
        delivery = self._transport.publish(report_id, payload)
        self._keep_baseline(snapshot, accepted_at=self._clock())
        log.info("report %d %s: %s, %d bytes", report_id, delivery, summarize(report), len(payload))
        return delivery

    def _seconds_to_next(self) -> float:
        now = self._clock()
        sent_at = self._state.published_at
        if sent_at is None or not 0 <= now - sent_at < self._schedule.interval:  # never sent, or the clock was set
            sent_at = now
        gap = self._schedule.gap_after(sent_at) * min(1 << self._throttled, LONGEST_BACKOFF)
        return max(gap - (now - sent_at), 0.0)

    def _keep_baseline(self, snapshot: Snapshot, **changes: object) -> None:
        """Let growth start at this snapshot; where its counters are unknown, the next report covers this stretch."""
        if snapshot.interfaces is not None:
            changes["baseline"] = Baseline(snapshot.taken_at, snapshot.boot_id, dict(snapshot.interfaces))
        self._keep(**changes)

    def _keep(self, **changes: object) -> None:
        self._state = msgspec.structs.replace(self._state, **changes)
        self._store.save(self._state)


def _advice(error: DefenderError) -> str:
    advice = ADVICE.get(error.code) if isinstance(error, Rejected) else None
    return f" ({advice})" if advice else ""

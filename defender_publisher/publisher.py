"""The publisher: looks at the device, makes reports, sends them when they are due, and remembers what was accepted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import msgspec

from defender_publisher.device import Device
from defender_publisher.encoding import encode_within
from defender_publisher.errors import DefenderError, GivenUp, NotConnected, NoVerdict, Rejected, TooSoon
from defender_publisher.ledger import Ledger, Store
from defender_publisher.report import Report, build_report, summarize
from defender_publisher.schedule import Schedule
from defender_publisher.settings import Settings
from defender_publisher.snapshot import Snapshot, Sockets
from defender_publisher.transport import Delivery, Transport, Watcher
from defender_publisher.window import Window

log = logging.getLogger("defender_publisher")

OFFLINE_CHECK = 2.0  # seconds between two looks whether a report that is due can go out
THROTTLED_WITHIN = 300.0  # seconds; Device Defender takes one report of a thing in them
AFTER_THROTTLED = 2  # cycles to wait after Throttled, and not more, so as not to be silent for long afterwards
ADVICE = {
    "InvalidPayload": "send this line to the project, with the report that debug mode logs",
    "Throttled": "one report per 300 s and thing is taken; look for a second publisher of this thing",
}


class Publisher:
    """The publisher of one thing's reports; `look` and `report` are its jobs and return when they are due again."""

    def __init__(
        self,
        settings: Settings,
        device: Device,
        transport: Transport,
        store: Store,
        clock: Callable[[], float] = time.time,
        watcher: Watcher | None = None,
    ) -> None:
        agent = settings.agent
        self._settings = settings
        self._device = device
        self._transport = transport
        self._clock = clock
        self._watcher = watcher or Watcher()
        self._ledger = Ledger(store, settings.thing_name)
        self._schedule = Schedule(settings.thing_name, agent.publish_interval)
        self._window = Window(agent.publish_interval)
        self._throttled = False
        self._may_be_too_soon = self._knows_no_report(clock())

    @property
    def looks_between(self) -> bool:
        """Whether `look` is a job of its own, due more often than `report`."""
        return self._settings.agent.looks_between

    def first_delay(self) -> float:
        """Return the seconds until the first report is due."""
        sent_at = self._ledger.published_at
        delay = self._schedule.first_delay(None if sent_at is None else self._clock() - sent_at)
        every, thing = self._schedule.interval, self._settings.thing_name
        log.info("reporting for %s every %d s, first in %.0f s", thing, every, delay)
        return self._due_in(delay)

    def start_growth(self) -> None:
        """Measure growth from now on, instead of from the last accepted report."""
        self._ledger.start_here(self._device.snapshot(Sockets()))

    def look(self) -> float:
        """Look at the device's sockets; return the seconds until the next look. A report holds all since the last."""
        self._window.add(self._device.look(), time.monotonic())
        return float(self._settings.agent.look_interval)

    def report(self) -> float:
        """Send one report if there is a connection, log what became of it, and return the seconds until the next."""
        if not self._transport.connected:
            return self._due_in(None)
        try:
            self.publish()
        except NotConnected as error:
            log.info("the report waits for a connection: %s", error)
            return self._due_in(None)
        except TooSoon as error:
            self._throttled = True
            log.info("%s; the next report goes out in %.0f s", error, self._seconds_to_next())
        except DefenderError as error:
            log.error("%s%s", error, f" ({advice})" if (advice := advice_on(error)) else "")
            self._throttled = isinstance(error, Rejected) and error.throttled
        else:
            self._throttled = False
        return self._due_in(self._seconds_to_next())

    def publish(self) -> Delivery:
        """Make a report of what the device shows now and publish it; raises as `Transport.publish`, or CollectError."""
        self._hear_late_verdicts()
        self.look()
        seen = self._window.take()
        try:
            return self._publish(self._device.snapshot(seen))
        except GivenUp:
            raise  # and what was seen with it
        except Exception:
            self._window.put_back(seen)
            raise
        finally:
            self._hear_late_verdicts()  # those on earlier reports, heard while this one's was waited for

    def _publish(self, snapshot: Snapshot) -> Delivery:
        report_id = self._ledger.next_id(self._clock())
        agent, metrics = self._settings.agent, self._settings.config.metrics
        try:
            report = build_report(report_id, snapshot, self._ledger.baseline, metrics)
        except DefenderError:
            self._watcher.failed()
            raise
        payload = encode_within(report, agent.format, agent.short_names, self._transport.largest_report)
        log.debug("report %d: %s", report_id, msgspec.json.encode(report).decode())
        self._ledger.sent(report_id, snapshot, self._clock())
        delivery = self._deliver(report_id, payload, report)
        self._watcher.reported(report_id, "accepted" if delivery.answered else "delivered", delivery.seconds)
        log.info("report %d %s: %s, %d bytes", report_id, delivery, summarize(report), len(payload))
        return delivery

    def _deliver(self, report_id: int, payload: bytes, report: Report) -> Delivery:
        """Publish the report and write its verdict into the ledger."""
        try:
            delivery = self._transport.publish(report_id, payload)
        except NotConnected:
            self._ledger.not_sent()
            raise
        except Rejected as error:
            first, self._may_be_too_soon = self._may_be_too_soon, False
            self._watcher.reported(report_id, f"rejected: {error.code}")
            self._ledger.refused(error, report)
            if first and error.throttled:
                self._watcher.proven(report_id)
                raise TooSoon(report_id, error.code, error.message) from error
            raise
        except NoVerdict as error:
            if not self._ledger.unanswered(error):
                self._watcher.reported(report_id, "unanswered")
                raise
            return Delivery(None, answered=False)
        self._ledger.accepted(self._clock())
        self._may_be_too_soon = False
        return delivery

    def _knows_no_report(self, now: float) -> bool:
        """Whether an earlier start may have reported just now: it did, or nothing is kept of any (a new SD card)."""
        sent_at = self._ledger.published_at
        return sent_at is None or 0 <= now - sent_at < THROTTLED_WITHIN

    def _hear_late_verdicts(self) -> None:
        """Let the ledger know what was said of reports that nobody waited for any more."""
        for report_id, accepted in self._transport.late_verdicts().items():
            if self._ledger.hear_late(report_id, accepted, self._clock()):
                self._watcher.reported(report_id, "accepted")

    def _seconds_to_next(self) -> float:
        now = self._clock()
        sent_at = self._ledger.published_at
        if sent_at is None or not 0 <= now - sent_at < self._schedule.interval:  # never sent, or the clock was set
            sent_at = now
        gap = self._schedule.gap_after(sent_at) * (AFTER_THROTTLED if self._throttled else 1)
        return max(gap - (now - sent_at), 0.0)

    def _due_in(self, seconds: float | None) -> float:
        self._watcher.next_report(seconds)
        return OFFLINE_CHECK if seconds is None else seconds


def advice_on(error: DefenderError) -> str:
    """Return what to do about a report that was refused, nothing where only its code can tell."""
    return ADVICE.get(error.code, "") if isinstance(error, Rejected) else ""

"""Detect at work: what is accepted is evaluated, kept and told; silence is noticed; a restart goes on where it was."""

from __future__ import annotations

import gc
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import msgspec

from defender_detect.alerts.alerts import Alerts
from defender_detect.alerts.followers import Reported
from defender_detect.config import Config
from defender_detect.evaluate.alarms import ALARM_INVALIDATED, Event, Violation
from defender_detect.evaluate.detector import MOST_THINGS, Detector, Finding, Rules
from defender_detect.evaluate.percentiles import Population
from defender_detect.judge.verdict import Accepted, Rejected
from defender_detect.store.batch import (
    ACCEPTED,
    ALERTS_DROPPED,
    ALERTS_FAILED,
    ALERTS_SENT,
    ALERTS_WAITING,
    EVALUATION_SECONDS,
    REJECTED,
)
from defender_detect.store.store import DAY, Store

POPULATIONS = "$populations"  # what is kept of all things together; no thing can have this name
TURN = 60.0  # seconds between two looks for silent things
LONGEST_TURN = 5 * TURN  # longer: this machine slept, or its clock was set
MOST_FINDINGS = 10_000  # of a look: the store has room for 150,000 events at once; the next look goes on
YOUNG = 20_000  # objects that make a garbage collection; Python's own 700 cost 3 % of the time under full load
COMPLAIN_EVERY = 3600.0  # seconds between two errors about the same
TOO_MANY_THINGS = (
    "%d things have reported within two days, which is as many as detect.most_things allows: %d reports of others were "
    "accepted but neither evaluated nor kept; raise detect.most_things, at about 1.5 KB of memory for each thing"
)

log = logging.getLogger(__name__)


class Service:
    """Evaluates what is accepted; keeps it in the store, if there is one, and tells the alerts."""

    def __init__(self, rules: Rules, store: Store | None, alerts: Alerts, most_things: int = MOST_THINGS) -> None:
        self._detector = Detector(rules, most_things, hears_all=False)
        self._store = store
        self._alerts = alerts
        self._lock = threading.Lock()
        self._refused = 0  # reports of things that are not admitted, when an error said so last
        self._accepted, self._evaluating = 0, 0.0  # reports and seconds, since they were kept last
        self._rejected: Counter[str] = Counter()  # the same, by code
        self._counted: Counter[tuple[str, int]] = Counter()  # of each sink's alerts, as the store has them
        self._complained: float | None = None  # when that was; None while all things are admitted
        self._looked: float | None = None  # when silence was looked for last

    @property
    def things(self) -> int:
        """How many things are known: those that reported within two days."""
        return len(self._detector)

    @property
    def in_force(self) -> dict[str, int]:
        """How many profiles and behaviors reports are evaluated by."""
        profiles = [each.profile for each in self._detector.rules.attachments]
        return {"profiles": len(profiles), "behaviors": sum(len(each.behaviors) for each in profiles)}

    @property
    def alerts_waiting(self) -> dict[str, int]:
        """How many alerts wait, by the name of whom they are for; those for whom none does are left out."""
        return {queue.name: len(queue) for queue in self._alerts.queues if len(queue)}

    def restore(self, remember: Callable[[str, int, float], None]) -> str:
        """Go on where an earlier run was, and say in a line what there is; `remember` is given each last report."""
        now = time.time()
        latest = 0.0
        for each in self._store.load_states() if self._store is not None else ():
            if each.thing == POPULATIONS:
                self._restore_populations(each.state or b"")
            else:
                self._detector.restore(each.thing, each.state, each.accepted_at or 0.0, now, each.report_id or 0)
                remember(each.thing, each.report_id or 0, each.accepted_at or 0.0)
                latest = max(latest, each.accepted_at or 0.0)
        self._detector.excuse(max(0.0, now - latest))  # while there was no Detect nobody could report
        self._tell_what_waited()
        self._alerts.begin(lambda: () if self._store is None else self._store.active())
        self._invalidate_what_nothing_follows(now)
        profiles = [each.profile for each in self._detector.rules.attachments]
        behaviors = sum(len(profile.behaviors) for profile in profiles)
        where = f"kept in {self._store.path.parent}" if self._store is not None else "nothing is kept"
        rules = f"security profiles: {len(profiles)}, behaviors: {behaviors}"
        gc.set_threshold(YOUNG)
        gc.freeze()  # what was restored stays, and looking through it again and again would hold reports up
        return f"{rules}, things known: {len(self._detector)}, {where}"

    def accept(self, accepted: Accepted, now: float) -> None:
        """Evaluate a report that was accepted."""
        started = time.perf_counter()
        with self._lock:
            finding = self._detector.observe(accepted.thing, accepted.report, now)
            findings = () if finding is None else (finding,)
            self._keep(findings, now, accepted.report_id)
            self._accepted += 1
            self._evaluating += time.perf_counter() - started
        self._tell(findings)
        if finding is not None and self._alerts.hears_reports:
            rules = self._detector.rules.of(accepted.thing)
            self._alerts.report(Reported(accepted.thing, now, rules.profiles, finding.values or {}, rules.names))

    def reject(self, rejected: Rejected) -> None:
        """Count a report that was rejected."""
        with self._lock:
            self._rejected[rejected.code] += 1

    def look_for_silence(self, now: float, deaf: float = 0.0) -> None:
        """Raise the alarms of things that are silent, and invalidate them all after long; called every TURN seconds.

        For `deaf` seconds since the last look nothing could be heard.
        """
        with self._lock:
            self._excuse_what_nobody_heard(now, deaf)
            found = chain(self._detector.find_silent(now, noticed=now), self._detector.expire(now))
            findings = list(islice(found, MOST_FINDINGS))
            self._keep(findings, now)
        self._tell_late(findings)
        self._keep_populations(now)
        self._keep_counts()
        self._say_whether_things_are_refused(now)

    def reload(self, rules: Rules, now: float) -> None:
        """Go on with other profiles or groups; behaviors of the same name keep their alarms."""
        with self._lock:
            findings = self._detector.replace(rules, now)
            self._keep(findings, now)
        self._tell_late(findings)

    def close(self, now: float) -> None:
        """Write what is to be kept, and hand over what is to be told."""
        self._keep_populations(now)
        self._keep_counts()
        if self._store is not None:
            self._store.close()
        self._alerts.close()

    def _excuse_what_nobody_heard(self, now: float, deaf: float) -> None:
        """Count no silence of a time without a broker, that this machine slept, or that its clock was set by."""
        passed = 0.0 if self._looked is None else now - self._looked
        if not 0 <= passed < LONGEST_TURN:
            self._detector.excuse(passed - TURN)
        elif deaf:
            self._detector.excuse(deaf)
        self._looked = now

    def _tell_what_waited(self) -> None:
        """Tell the alerts of an earlier run that may not have arrived."""
        since = self._alerts.told_until
        kept = () if since is None or self._store is None else self._store.events(since, math.inf)
        if number := self._alerts.restore(kept):
            log.info("alerts of an earlier run that are sent now, because they may not have arrived: %d", number)

    def _invalidate_what_nothing_follows(self, now: float) -> None:
        """Invalidate the alarms of an earlier run whose behavior is gone, or whose thing has been silent for long."""
        active = self._store.active() if self._store is not None else ()
        findings = list(invalidate_forgotten(self._detector, active, now))
        self._keep(findings, now)
        self._tell_late(findings)

    def _say_whether_things_are_refused(self, now: float) -> None:
        """Log an error while reports of new things are not evaluated, at once and then every hour."""
        refused, most = self._detector.refused - self._refused, self._detector.most_things
        if refused and (self._complained is None or not 0 <= now - self._complained < COMPLAIN_EVERY):
            log.error(TOO_MANY_THINGS, most, refused)
            self._refused, self._complained = self._detector.refused, now
        elif self._complained is not None and not self._detector.is_full:
            log.warning(
                "new things are admitted again: %d of %d have reported within two days", len(self._detector), most
            )
            self._complained = None

    def _keep(self, findings: Iterable[Finding], now: float, report_id: int | None = None) -> None:
        """Add findings to the store, to be called under the lock: the last word on an alarm must be added last."""
        if self._store is not None:
            for each in findings:
                self._store.add(each.thing, now, each.values, each.events, each.state, report_id, each.lasting)

    def _tell(self, findings: Iterable[Finding]) -> None:
        for each in findings:
            for event in each.events:
                self._alerts.tell(event)

    def _tell_late(self, findings: Sequence[Finding]) -> None:
        """Tell findings of silence, some of whose events ended before others that have been told."""
        with self._alerts.announced([event for each in findings for event in each.events]):
            self._tell(findings)

    def _keep_populations(self, now: float) -> None:
        if self._store is not None and self._detector.rules.populations:
            with self._lock:
                packed = msgspec.msgpack.encode(self._detector.rules.populations)
            self._store.add(POPULATIONS, now, None, state=packed)

    def _keep_counts(self) -> None:
        """Keep what was counted since the last time, for whoever asks the store: not for each report, which costs."""
        if self._store is None:
            return
        with self._lock:
            reports: dict[tuple[str, tuple[str, ...]], float] = {
                (ACCEPTED, ()): self._accepted,
                (EVALUATION_SECONDS, ()): self._evaluating,
            }
            reports.update(((REJECTED, (code,)), number) for code, number in self._rejected.items())
            self._accepted, self._evaluating = 0, 0.0
            self._rejected.clear()
        for (name, labels), number in reports.items():
            self._store.count(name, number, labels)
        for place, queue in enumerate(self._alerts.queues):
            totals = {ALERTS_SENT: queue.sent, ALERTS_FAILED: queue.failed, ALERTS_DROPPED: queue.dropped}
            for name, total in totals.items():
                self._store.count(name, total - self._counted[name, place], (queue.name,))
                self._counted[name, place] = total
            self._store.set_level(ALERTS_WAITING, len(queue), (queue.name,))

    def _restore_populations(self, packed: bytes) -> None:
        try:
            kept = msgspec.msgpack.decode(packed, type=dict[str, Population])
        except msgspec.DecodeError as error:
            log.error("the percentiles of an earlier run cannot be read (%s): they start over", error)
            return
        self._detector.rules.restore_populations(kept)


def invalidate_forgotten(detector: Detector, active: Iterable[Violation], now: float) -> Iterator[Finding]:
    """Yield the ends of the alarms that are on in the store, but not in the detector."""
    for each in active:
        if not detector.follows(each.thing, each.violation_id):
            event = Event(
                each.violation_id, each.thing, each.profile, each.behavior, each.metric, ALARM_INVALIDATED, now,
                None, each.criteria, each.kind, each.suppressed,
            )  # fmt: skip
            yield Finding(each.thing, None, (event,), state=detector.pack(each.thing))


def open_store(config: Config) -> Store | None:
    """Open the store of a configuration, None if it names no state directory; raises StoreError."""
    if config.agent.state_directory is None:
        return None
    days = config.detect.metrics_days * DAY, config.detect.violations_days * DAY
    return Store(Path(config.agent.state_directory), *days, most_bytes=config.detect.most_bytes)

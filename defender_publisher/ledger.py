"""The ledger: which traffic Device Defender has, so that no byte is lost, and none counted twice without a word.

Every report's growth begins at the baseline, and the baseline moves to a report's own counters

* when the report is accepted, also where that verdict comes late, but before the next report is made;
* when nobody answers for the second time in a row although the broker is there: the report is taken as delivered;
* when Device Defender calls the report malformed for the second time in a row: it will never take it.

In every other case (rejected, not sent, connection lost, this program ended) it stays, and the next report counts the
stretch again. Where the report had been accepted without our hearing of it, the log says that it may be counted twice.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Protocol

import msgspec

from defender_daemon.logs import ALWAYS_LOGGED
from defender_publisher.errors import GivenUp, NoVerdict, Rejected
from defender_publisher.snapshot import Snapshot
from defender_publisher.state import Baseline, State

log = logging.getLogger("defender_publisher")

ENOUGH = 2  # verdicts of a kind in a row, after which a report is settled although it was not accepted
MALFORMED = "InvalidPayload"
REMEMBERED = 20  # reports whose verdict may still come; Device Defender answers within seconds


class Store(Protocol):
    """Where the state outlives this process."""

    def load(self, thing_name: str) -> State:
        """Return what was kept for this thing."""

    def save(self, state: State) -> None:
        """Keep the state."""


class Ledger:
    """One thing's ledger, kept in a store; a report is `sent` and then settled by one of the other methods."""

    def __init__(self, store: Store, thing_name: str) -> None:
        self._store = store
        self._state = store.load(thing_name)
        self._before = self._state
        self._open: Snapshot | None = None  # the last report's, while the baseline has not moved to it
        self._covered: deque[int] = deque(maxlen=REMEMBERED)  # reports whose traffic a later one counts again
        self._carried: int | None = None  # a report whose verdict is not known, past one that has no growth
        self._silent = 0
        self._malformed = 0

    @property
    def baseline(self) -> Baseline | None:
        """The counters from which growth is measured."""
        return self._state.baseline

    @property
    def published_at(self) -> float | None:
        """When the last report was sent (seconds since the epoch), None if none ever was."""
        return self._state.published_at

    def next_id(self, now: float) -> int:
        """Return the next report's id: the time, but always more than the last one's."""
        return max(self._state.last_report_id + 1, int(now))

    def start_here(self, snapshot: Snapshot) -> None:
        """Measure growth from this snapshot on, instead of from the last settled report."""
        self._keep(**_baseline_of(snapshot))

    def sent(self, report_id: int, snapshot: Snapshot, now: float) -> None:
        """Note that a report goes out; written down before it does, because this program may end at any moment."""
        if self._state.unsettled is not None and self._counts_again(snapshot):
            text = "report %d counts the traffic of report %d again, because nobody said what became of that one"
            log.warning(text, report_id, self._state.unsettled, extra=ALWAYS_LOGGED)
        self._carried = self._state.unsettled if snapshot.interfaces is None else None
        if self._open is not None:
            self._covered.append(self._state.last_report_id)
        self._before, self._open = self._state, snapshot
        self._keep(last_report_id=report_id, published_at=now, unsettled=report_id)

    def _counts_again(self, snapshot: Snapshot) -> bool:
        """Whether a report of this snapshot has growth: not before there is a baseline, nor after a reboot."""
        baseline = self._state.baseline
        return baseline is not None and snapshot.interfaces is not None and baseline.boot_id == snapshot.boot_id

    def not_sent(self) -> None:
        """Note that the report did not go out after all."""
        self._state, self._open = self._before, None
        self._store.save(self._state)

    def accepted(self, now: float) -> None:
        """Note that Device Defender has the report."""
        self._silent = self._malformed = 0
        self._settle(accepted_at=now)

    def refused(self, error: Rejected, report: dict[str, Any]) -> None:
        """Note that Device Defender refused the report; raises GivenUp where it would refuse its content for ever."""
        self._silent = 0
        self._malformed = self._malformed + 1 if error.code == MALFORMED else 0
        if self._malformed < ENOUGH:
            self._keep(unsettled=self._carried)
            return
        if self._malformed == ENOUGH:
            whole = msgspec.json.encode(report).decode()
            text = "what this report holds is given up, because it was called malformed twice: %s"
            log.error(text, whole, extra=ALWAYS_LOGGED)
        self._settle()
        raise GivenUp(error.report_id, error.code, error.message) from error

    def unanswered(self, error: NoVerdict) -> bool:
        """Note that nobody answered; return whether the report counts as delivered all the same."""
        self._silent += error.healthy
        assert self._state.unsettled is not None
        if not error.healthy or self._silent < ENOUGH:
            return False
        log.warning(
            "report %d counts as delivered, because the broker is there and nobody answered %d reports in a row: %s",
            self._state.unsettled,
            ENOUGH,
            error,
        )
        self._settle()
        return True

    def hear_late(self, report_id: int, accepted: bool, now: float) -> bool:
        """Note a verdict that came when nobody waited for it; return whether a report counts by it after all."""
        if not accepted:
            return False
        if self._open is not None and report_id == self._state.last_report_id:
            log.info("report %d was accepted after all", report_id)
            self.accepted(now)
            return True
        if report_id in self._covered:
            self._covered.remove(report_id)
            text = "report %d was accepted, but that came too late: a later report counts its traffic again"
            log.warning(text, report_id, extra=ALWAYS_LOGGED)
        return False

    def _settle(self, **changes: object) -> None:
        """Let growth begin at the report that was sent; where its counters are unknown, the next one covers it too."""
        assert self._open is not None
        snapshot, self._open = self._open, None
        self._keep(unsettled=self._carried, **_baseline_of(snapshot), **changes)

    def _keep(self, **changes: object) -> None:
        self._state = msgspec.structs.replace(self._state, **changes)
        self._store.save(self._state)


def _baseline_of(snapshot: Snapshot) -> dict[str, Baseline]:
    if snapshot.interfaces is None:
        return {}
    interfaces, identities = dict(snapshot.interfaces), dict(snapshot.identities)
    return {"baseline": Baseline(snapshot.taken_at, snapshot.boot_id, interfaces, identities)}

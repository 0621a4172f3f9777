"""Followers: targets that show what is the case, which alarms are on for instance, rather than hear what happened."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from defender_detect.errors import AlertError

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event, Violation
    from defender_detect.metrics import Value

LONGEST_WAIT = 60.0  # seconds after a failure; the waits double until there

log = logging.getLogger(__name__)


class Reported(NamedTuple):
    """What a thing's report brought."""

    thing: str
    time: float  # seconds since the epoch
    profiles: frozenset[str]  # the names of those that are for it
    values: Mapping[str, Value]  # of the metrics that are retained
    rules: tuple[str, ...]  # the names of its behaviors, "profile/behavior"


class Follower(Protocol):
    """Shows what is the case somewhere; each call returns at once."""

    name: str  # for the log, without anything secret
    hears_reports: bool  # whether `report` is to be called at all

    def begin(self, active: Iterable[Violation]) -> None:
        """Show the alarms that are on from an earlier run, and begin to work."""

    def tell(self, event: Event) -> None:
        """Show an alarm that begins or ends."""

    def report(self, reported: Reported) -> None:
        """Show a report."""

    def close(self, timeout: float) -> None:
        """Show what is left to show, within so many seconds."""


class Worker:
    """A thread that calls `work` after something changed, or when it is due, and says when it fails and recovers.

    `work` returns in how many seconds it is due again, and raises AlertError to be called again after a while.
    """

    def __init__(self, name: str, work: Callable[[], float], pause: float) -> None:
        """Prepare; between two calls are at least `pause` seconds."""
        self._name, self._work, self._pause = name, work, pause
        self.changed = threading.Condition()
        self._has_news = self._is_closing = False
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name=f"alerts to {name}", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def wake(self) -> None:
        """Say that something changed; to be called with `changed` held."""
        self._has_news = True
        self.changed.notify_all()

    def close(self, timeout: float) -> None:
        """Work once more if there is news, and end within so many seconds."""
        with self.changed:
            self._is_closing = True
            self.changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        due = 0.0
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self._has_news or self._is_closing, max(0.0, due - time.monotonic()))
                if self._is_closing and not self._has_news:
                    return
                self._has_news = False
            due = time.monotonic() + self._try()
            with self.changed:
                self.changed.wait_for(lambda: self._is_closing, self._pause_now())

    def _pause_now(self) -> float:
        return min(LONGEST_WAIT, self._pause * 2.0 ** min(self._failures, 10)) if self._failures else self._pause

    def _try(self) -> float:
        """Work, and return in how many seconds to do so again."""
        try:
            wait = self._work()
        except Exception as error:  # noqa: BLE001 - a fault of ours must neither end the thread nor pass unnoticed
            if not isinstance(error, AlertError):
                log.debug("%s failed", self._name, exc_info=True)
            self._failures += 1
            if self._failures == 1:
                log.error("%s: not updated: %s; trying again", self._name, error)
            return 0.0
        if self._failures:
            log.warning("%s: updated again after %d failures", self._name, self._failures)
        self._failures = 0
        return wait

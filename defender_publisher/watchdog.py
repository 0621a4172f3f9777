"""The watchdog: notices that the program hangs, on the monotonic clock, which no one can set.

Progress is a job's turn that ends as it should: with a report accepted, refused or unanswered, a connection made or
refused, a look taken. A network that is gone for days is no hang, because every attempt ends. A job that does not come
back, and one that fails in an unforeseen way turn after turn, makes no progress.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from defender_publisher.config import Config
from defender_publisher.errors import DefenderError

PATIENCE = 2  # intervals without progress before the watchdog acts
LONGEST_TURN = 60.0  # seconds that a turn may take by our own time-outs: name, TCP, TLS, CONNACK, two SUBACKs, verdict
LOOKS = 4  # times the watchdog looks within its patience
LONGEST_SLEEP = 60.0  # seconds between two looks at most
WELL, RESET, WAIT, GIVE_UP = "well", "reset", "wait", "give up"


def patience_for(config: Config) -> float:
    """Return the seconds without progress after which something hangs: two intervals, or more if a turn may take it."""
    commands = sum(each.timeout for each in config.custom_metrics.values() if each.command)
    return max(float(PATIENCE * config.agent.publish_interval), LONGEST_TURN + commands)


Job = TypeVar("Job", bound=Hashable)


class HungError(DefenderError):
    """The program makes no progress and cannot help itself; the service manager should start it again."""


class Watchdog(Generic[Job]):
    """Judges by each job's last progress whether all is well: jobs call `beat`, the main thread calls `judge`."""

    def __init__(self, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.every = min(patience / LOOKS, LONGEST_SLEEP)  # seconds between two looks
        self.patience = patience
        self._clock = clock
        self._looked = clock()
        self._deadlines: dict[Job, float] = {}
        self._reset_at: float | None = None

    def beat(self, job: Job, due_in: float) -> None:
        """Note that a job made progress and is due again in `due_in` seconds."""
        self._deadlines[job] = self._clock() + max(self.patience, due_in + self.patience / PATIENCE)

    @property
    def overdue(self) -> list[Job]:
        """The jobs that hang."""
        now = self._clock()
        return [job for job, deadline in list(self._deadlines.items()) if now > deadline]

    def judge(self) -> str:
        """Return WELL, RESET (tear the connection down, a job may hang in it), WAIT if that helps, or GIVE_UP."""
        now, before = self._clock(), self._looked
        self._looked = now
        if now - before > self.patience:  # this process itself was stopped, so nobody else had time for progress
            for job in self._deadlines:
                self.beat(job, 0.0)
        if not self.overdue:
            self._reset_at = None
            return WELL
        if self._reset_at is None:
            self._reset_at = now
            return RESET
        return GIVE_UP if now - self._reset_at >= self.patience / PATIENCE else WAIT

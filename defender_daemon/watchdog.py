"""The watchdog: notices that the program hangs, on the monotonic clock, which no one can set.

Progress is a job's turn that ends as it should: with a report accepted, refused or unanswered, a connection made or
refused, a look taken, a log sent. A network that is gone for days is no hang, because every attempt ends. A job that
does not come back, and one that fails in an unforeseen way turn after turn, makes no progress.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Hashable
from threading import Thread
from typing import Generic, Protocol, TypeVar

from defender_daemon.errors import HungError
from defender_daemon.notify import Notifier

log = logging.getLogger("defender_daemon")

PATIENCE = 2  # intervals without progress before the watchdog acts
LOOKS = 4  # times the watchdog looks within its patience
LONGEST_SLEEP = 30.0  # seconds between two looks at most
WELL, RESET, WAIT, GIVE_UP = "well", "reset", "wait", "give up"


Job = TypeVar("Job", bound=Hashable)


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


class Lasting(Protocol):
    """A connection that lasts, in which a job may hang."""

    @property
    def needs_restart(self) -> str:
        """Why only a new start of the program helps, or nothing."""

    def reset(self) -> None:
        """Tear the connection down; its owner makes a new one."""


class Guard:
    """Guards the jobs of one configuration; the main thread lets it `look` from time to time.

    `patience` is how many seconds without progress a job has; `connection` is where it may hang, None where each turn
    makes its own.
    """

    def __init__(self, patience: float, notifier: Notifier, connection: Lasting | None = None) -> None:
        self.watchdog: Watchdog[Thread] = Watchdog(patience)
        self._connection = connection
        self._notifier = notifier

    def progress(self) -> None:
        """Note that the turn of the job that calls this gets on, however long it takes."""
        self.watchdog.beat(threading.current_thread(), 0.0)

    def look(self) -> float:
        """Help where a job makes no progress; return the seconds until the next look.

        Raises HungError when a new connection did not help, which says where the job is, or cannot help.
        """
        if self._connection is not None and self._connection.needs_restart:
            raise HungError(self._connection.needs_restart)
        verdict = self.watchdog.judge()
        stuck = "; ".join(f"{job.name} is at {whereabouts(job)}" for job in self.watchdog.overdue)
        if verdict == WELL:
            self._notifier.alive()
        elif self._connection is None:
            raise HungError(f"no progress for {self.watchdog.patience:.0f} s: {stuck}")
        elif verdict == RESET:
            log.error("no progress for %.0f s, so a new connection is made: %s", self.watchdog.patience, stuck)
            self._connection.reset()
        elif verdict == GIVE_UP:
            raise HungError(f"no progress, and a new connection did not help: {stuck}")
        every = self.watchdog.every
        return min(every, (self._notifier.watchdog_interval or 2 * every) / 2)


def whereabouts(thread: Thread) -> str:
    """Return where a thread is now, as "FILE:LINE in FUNCTION", to say where it hangs."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return "its end: the thread has ended"
    last = traceback.extract_stack(frame)[-1]
    return f"{last.filename}:{last.lineno} in {last.name}"

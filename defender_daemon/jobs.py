"""The jobs: turns that a daemon takes on timeloop's threads until a signal, guarded by a watchdog."""

from __future__ import annotations

import datetime
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from defender_daemon.errors import ConfigError
from defender_daemon.notify import Notifier
from defender_daemon.signals import Signals
from defender_daemon.watchdog import Guard

log = logging.getLogger("defender_daemon")

AFTER_UNFORESEEN = 60.0  # seconds until a job that failed in an unforeseen way runs again
GIVE_UP_WITHIN = 10.0  # seconds in which a program that hangs must have ended in order; then it ends at once

Settings = TypeVar("Settings")


def prepare(loop: Any) -> None:
    """Let a new Timeloop say nothing: each adds a handler that writes to standard output."""
    loop.logger.handlers.clear()
    loop.logger.setLevel(logging.WARNING)


class Bell(threading.Event):
    """What a job of timeloop waits on between two turns: set, it ends the job; rung, it only ends the wait."""

    def __init__(self) -> None:
        super().__init__()
        self._rung = threading.Event()

    def ring(self) -> None:
        """End the wait that is under way, or else the next one; from any thread."""
        self._rung.set()

    def set(self) -> None:
        """End the job."""
        super().set()
        self._rung.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait so many seconds, or until it is rung or set; tell whether it is set."""
        self._rung.wait(timeout)
        self._rung.clear()
        return self.is_set()


def add_job(loop: Any, guard: Guard, step: Callable[[], float], first: float) -> Callable[[], None]:
    """Add a job that runs `step` after `first` seconds, and again after as many as it returned each time.

    What is returned, called from any thread, brings the next turn forward to now.
    """

    def run() -> None:
        try:
            seconds = step()
        except Exception:  # an exception would end timeloop's thread without a word
            log.exception("unforeseen error in %s, which is tried again", step.__name__)
            seconds = AFTER_UNFORESEEN
        else:
            guard.watchdog.beat(job, seconds)
        job.interval = datetime.timedelta(seconds=seconds)

    loop.job(interval=datetime.timedelta(seconds=first))(run)
    job = loop.jobs[-1]
    job.name = step.__name__
    job.stopped = bell = Bell()
    guard.watchdog.beat(job, first)
    return bell.ring


def wait_for_signal(
    signals: Signals, reread: Callable[[], Settings], notifier: Notifier, guard: Guard
) -> Settings | None:
    """Sleep until a signal, on guard in between; return the settings that a SIGHUP brought, or None to stop."""
    while True:
        number = signals.wait(guard.look())
        if number is None:
            continue
        if number != signal.SIGHUP:
            log.info("stopping")
            notifier.stopping()
            return None
        notifier.reloading()
        try:
            return reread()
        except ConfigError as error:
            log.error("keeping the current configuration; the new one is invalid: %s", "; ".join(error.problems))
            notifier.ready()


def stop_jobs(jobs: Sequence[Any], within: float) -> None:
    """Ask the jobs to end and wait for them so many seconds; one that hangs ends with the process."""
    deadline = time.monotonic() + within
    for job in jobs:
        job.stopped.set()
    for job in jobs:
        job.join(max(0.0, deadline - time.monotonic()))


def end_soon(status: int) -> None:
    """See to it that the program ends with this status, even if something still hangs when it does so in order."""
    timer = threading.Timer(GIVE_UP_WITHIN, os._exit, [status])
    timer.daemon = True
    timer.start()


def end_hung(error: Exception, status: int) -> int:
    """Log why the program ends; see to it that it does; return the status."""
    end_soon(status)
    log.error("%s; ending with status %d, to be started again", error, status)
    return status

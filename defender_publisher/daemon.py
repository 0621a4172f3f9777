"""The daemon in outline: it reads the configuration, and runs the timeloop jobs that collect and publish."""

from __future__ import annotations

import datetime
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import timeloop

from defender_daemon import logs
from defender_daemon.notify import Notifier
from defender_daemon.signals import Signals
from defender_publisher import __version__
from defender_publisher.device import ThisDevice
from defender_publisher.errors import ConfigError
from defender_publisher.publisher import Publisher
from defender_publisher.settings import Settings
from defender_publisher.state import MemoryState, StateFile
from defender_publisher.status_file import LastErrorHandler, StatusFile
from defender_publisher.transport import Transport
from defender_publisher.transports import open_transport
from defender_publisher.watchdog import Guard

log = logging.getLogger("defender_publisher")

AFTER_UNFORESEEN = 60.0  # seconds until a job that failed in an unforeseen way runs again
GIVE_UP_WITHIN = 10.0  # seconds in which a program that hangs must have ended in order; then it ends at once
STOP_WITHIN = 2.0  # seconds that the jobs have to end by themselves; they are daemon threads

Reread = Callable[[], Settings]


def run_until_stopped(settings: Settings, reread: Reread) -> None:
    """Collect and publish on a timer until SIGTERM or SIGINT; on SIGHUP go on with the configuration as it is now."""
    signals = Signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    notifier, status = Notifier(), None
    next_settings: Settings | None = settings
    while next_settings is not None:
        settings = next_settings
        logs.configure_logging(settings.agent)  # before the state, which may have something to say
        with MemoryState() if settings.agent.dry_run else StateFile(str(settings.agent.state_directory)) as store:
            directory = None if settings.agent.dry_run else settings.agent.state_directory
            status = StatusFile(settings, directory, store.load(settings.thing_name), status, notifier.status)
            logging.getLogger().addHandler(LastErrorHandler(status))
            next_settings = serve(settings, store, status, signals, reread, notifier)


def serve(
    settings: Settings,
    store: StateFile | MemoryState,
    status: StatusFile,
    signals: Signals,
    reread: Reread,
    notifier: Notifier,
) -> Settings | None:
    """Run the jobs until a signal ends them; return the settings to go on with, or None to stop."""
    transport = open_transport(settings, status)
    publisher = Publisher(settings, ThisDevice(settings.config), transport, store, watcher=status)
    guard = Guard(settings.config, transport, notifier)
    log.info("amazon-defender-publisher %s started as %s", __version__, settings.thing_name)
    jobs = start_jobs(publisher, transport, guard)
    notifier.ready()
    try:
        return wait_for_signal(signals, reread, notifier, guard)
    finally:
        stop_jobs(jobs)
        transport.close()


def start_jobs(publisher: Publisher, transport: Transport, guard: Guard) -> Sequence[Any]:
    """Start the timeloop jobs: stay connected, look at the device, report."""
    loop = timeloop.Timeloop()
    loop.logger.handlers.clear()  # each Timeloop adds one that writes to standard output
    loop.logger.setLevel(logging.WARNING)
    add_job(loop, guard, transport.keep_connected, first=transport.first_delay)
    if publisher.looks_between:
        add_job(loop, guard, publisher.look, first=0.0)
    add_job(loop, guard, publisher.report, first=publisher.first_delay())
    loop.start(block=False)
    return loop.jobs  # type: ignore[no-any-return]


def add_job(loop: Any, guard: Guard, step: Callable[[], float], first: float) -> None:
    """Add a job that runs `step` after `first` seconds, and again after as many as it returned each time."""

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
    guard.watchdog.beat(job, first)


def wait_for_signal(signals: Signals, reread: Reread, notifier: Notifier, guard: Guard) -> Settings | None:
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


def stop_jobs(jobs: Sequence[Any]) -> None:
    """Ask the jobs to end and wait for them a moment; one that hangs ends with the process."""
    deadline = time.monotonic() + STOP_WITHIN
    for job in jobs:
        job.stopped.set()
    for job in jobs:
        job.join(max(0.0, deadline - time.monotonic()))


def end_soon(status: int) -> None:
    """See to it that the program ends with this status, even if something still hangs when it does so in order."""
    timer = threading.Timer(GIVE_UP_WITHIN, os._exit, [status])
    timer.daemon = True
    timer.start()

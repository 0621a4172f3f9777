"""The daemon in outline: it reads the configuration, and runs the timeloop jobs that send metrics and logs."""

from __future__ import annotations

import contextlib
import datetime
import logging
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import timeloop

from defender_cloudwatch import __version__
from defender_cloudwatch.config import Settings, own_log
from defender_cloudwatch.service import Service
from defender_daemon import logs
from defender_daemon.errors import ConfigError
from defender_daemon.notify import Notifier
from defender_daemon.signals import Signals

log = logging.getLogger("defender_cloudwatch")

AFTER_UNFORESEEN = 60.0  # seconds until a job that failed in an unforeseen way runs again
STOP_WITHIN = 1.5  # seconds that the jobs have to end by themselves; they are daemon threads
FIRST_METRICS = 1.0  # seconds over which the first rates are measured
RELOAD_WITHIN = 60.0  # seconds that they have before others read on; a call takes less by its time-outs
SIGN_OF_LIFE = 10.0  # seconds between two, where systemd does not say

Reread = Callable[[], Settings]


def run_until_stopped(settings: Settings, reread: Reread) -> None:
    """Send on a timer until SIGTERM or SIGINT; on SIGHUP go on with the configuration as it is now."""
    signals, notifier = Signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP), Notifier()
    following: Settings | None = settings
    while following is not None:
        settings = following
        logs.configure_logging(msgspec.structs.replace(settings.agent, logfile=own_log(settings.agent)))
        with contextlib.closing(Service(settings)) as service:
            following = serve(settings, service, signals, reread, notifier)


def serve(
    settings: Settings, service: Service, signals: Signals, reread: Reread, notifier: Notifier
) -> Settings | None:
    """Run the jobs until a signal ends them; return the settings to go on with, or None to stop."""
    log.info("amazon-defender-cloudwatch %s started as %s", __version__, settings.thing_name)
    jobs = start_jobs(settings, service)
    notifier.ready()
    following = wait_for_signal(signals, reread, notifier)
    service.stop()
    stop_jobs(jobs, STOP_WITHIN if following is None else RELOAD_WITHIN)
    return following


def start_jobs(settings: Settings, service: Service) -> Sequence[Any]:
    """Start the timeloop jobs: send metrics, send logs."""
    loop = timeloop.Timeloop()
    loop.logger.handlers.clear()  # each Timeloop adds one that writes to standard output
    loop.logger.setLevel(logging.WARNING)
    if settings.namespace is not None:
        add_job(loop, service.send_metrics, first=FIRST_METRICS)
    if settings.files or settings.journal:
        add_job(loop, service.send_logs, first=0.0)
    loop.start(block=False)
    return loop.jobs  # type: ignore[no-any-return]


def add_job(loop: Any, step: Callable[[], float], first: float) -> None:
    """Add a job that runs `step` after `first` seconds, and again after as many as it returned each time."""

    def run() -> None:
        try:
            seconds = step()
        except Exception:  # an exception would end timeloop's thread without a word
            log.exception("unforeseen error in %s, which is tried again", step.__name__)
            seconds = AFTER_UNFORESEEN
        job.interval = datetime.timedelta(seconds=seconds)

    loop.job(interval=datetime.timedelta(seconds=first))(run)
    job = loop.jobs[-1]
    job.name = step.__name__


def wait_for_signal(signals: Signals, reread: Reread, notifier: Notifier) -> Settings | None:
    """Sleep until a signal; return the settings that a SIGHUP brought, or None to stop."""
    while True:
        notifier.alive()
        number = signals.wait((notifier.watchdog_interval or 2 * SIGN_OF_LIFE) / 2)
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
    """Ask the jobs to end and wait for them a moment; one that is in a call ends with the process."""
    deadline = time.monotonic() + within
    for job in jobs:
        job.stopped.set()
    for job in jobs:
        job.join(max(0.0, deadline - time.monotonic()))

"""The daemon in outline: it reads the configuration, and runs the timeloop jobs that send metrics and logs."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import timeloop

from defender_cloudwatch import __version__
from defender_cloudwatch.config import Settings, own_log
from defender_cloudwatch.service import Service
from defender_cloudwatch.status import StatusFile
from defender_daemon import logs
from defender_daemon.jobs import add_job, prepare, stop_jobs, wait_for_signal
from defender_daemon.notify import Notifier
from defender_daemon.signals import Signals
from defender_daemon.status import LastErrorHandler
from defender_daemon.watchdog import Guard

log = logging.getLogger("defender_cloudwatch")

PATIENCE = 300.0  # seconds without progress: the time-outs of a call, its credentials and a new stream add up to less
STOP_WITHIN = 1.5  # seconds that the jobs have to end by themselves; they are daemon threads
FIRST_METRICS = 1.0  # seconds over which the first rates are measured
RELOAD_WITHIN = 60.0  # seconds that they have before others read on; a call takes less by its time-outs

Reread = Callable[[], Settings]


def run_until_stopped(settings: Settings, reread: Reread) -> None:
    """Send on a timer until SIGTERM or SIGINT; on SIGHUP go on with the configuration as it is now."""
    signals, notifier = Signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP), Notifier()
    status: StatusFile | None = None
    following: Settings | None = settings
    while following is not None:
        settings = following
        logs.configure_logging(msgspec.structs.replace(settings.agent, logfile=own_log(settings.agent)))
        guard = Guard(PATIENCE, notifier)
        status = StatusFile(settings, status, notifier.status, guard.progress)
        with contextlib.closing(Service(settings, status)) as service:
            logging.getLogger().addHandler(LastErrorHandler(status))
            following = serve(settings, service, signals, reread, notifier, guard)


def serve(
    settings: Settings, service: Service, signals: Signals, reread: Reread, notifier: Notifier, guard: Guard
) -> Settings | None:
    """Run the jobs until a signal ends them; return the settings to go on with, or None to stop."""
    log.info("amazon-defender-cloudwatch %s started as %s", __version__, settings.thing_name)
    jobs = start_jobs(settings, service, guard)
    notifier.ready()
    following = None
    try:
        following = wait_for_signal(signals, reread, notifier, guard)
    finally:
        service.stop()
        stop_jobs(jobs, STOP_WITHIN if following is None else RELOAD_WITHIN)
    return following


def start_jobs(settings: Settings, service: Service, guard: Guard) -> Sequence[Any]:
    """Start the timeloop jobs: send metrics, send logs."""
    loop = timeloop.Timeloop()
    prepare(loop)
    if settings.namespace is not None:
        add_job(loop, guard, service.send_metrics, first=FIRST_METRICS)
    if settings.files or settings.journal:
        add_job(loop, guard, service.send_logs, first=0.0)
    loop.start(block=False)
    return loop.jobs  # type: ignore[no-any-return]

"""The daemon in outline: it reads the configuration, and runs the timeloop jobs that collect and publish."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import timeloop

from defender_daemon import logs
from defender_daemon.jobs import add_job, prepare, stop_jobs, wait_for_signal
from defender_daemon.notify import Notifier
from defender_daemon.signals import Signals
from defender_daemon.status import LastErrorHandler
from defender_daemon.watchdog import Guard
from defender_publisher import __version__
from defender_publisher.device import ThisDevice
from defender_publisher.publisher import Publisher
from defender_publisher.schedule import patience_for
from defender_publisher.settings import Settings
from defender_publisher.state import MemoryState, StateFile
from defender_publisher.status_file import StatusFile
from defender_publisher.transport import Transport
from defender_publisher.transports import open_transport

log = logging.getLogger("defender_publisher")

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
    guard = Guard(patience_for(settings.config), notifier, transport)
    log.info("amazon-defender-publisher %s started as %s", __version__, settings.thing_name)
    sys.path_importer_cache.clear()  # names of the files beside the modules, all of which are loaded by now
    jobs = start_jobs(publisher, transport, guard)
    notifier.ready()
    try:
        return wait_for_signal(signals, reread, notifier, guard)
    finally:
        stop_jobs(jobs, STOP_WITHIN)
        transport.close()


def start_jobs(publisher: Publisher, transport: Transport, guard: Guard) -> Sequence[Any]:
    """Start the timeloop jobs: stay connected, look at the device, report."""
    loop = timeloop.Timeloop()
    prepare(loop)
    transport.on_loss = add_job(loop, guard, transport.keep_connected, first=transport.first_delay)
    if publisher.looks_between:
        add_job(loop, guard, publisher.look, first=0.0)
    add_job(loop, guard, publisher.report, first=publisher.first_delay())
    loop.start(block=False)
    return loop.jobs  # type: ignore[no-any-return]

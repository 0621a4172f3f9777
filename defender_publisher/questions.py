"""The questions: what the program answers once and ends, rather than to publish until a signal."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from pathlib import Path
from types import SimpleNamespace

from defender_daemon import logs
from defender_daemon.config import Raw
from defender_daemon.text import printable_lines
from defender_publisher.errors import ConfigError, TooSoon
from defender_publisher.settings import Settings, read_settings
from defender_publisher.transports import open_transport

DONE, FAILED = 0, 1
FIRST_GROWTH = 1.0  # seconds over which a single report measures what takes time: growth and cpu_usage


def answer(options: SimpleNamespace, path: Path | None, overrides: Raw) -> int:
    """Answer the question that the options ask about the configuration at `path`; return the exit status."""
    if options.status:
        return print_status(path, overrides, options.json, options.wait or 0.0)
    if options.doctor:
        return examine(path, overrides, options.json)
    if options.support_bundle:
        return write_bundle(options.support_bundle, path, overrides)
    if options.provision or options.rotate or options.rotation_due:
        return change_certificate(options, path, overrides)
    if options.check_config:
        print(*check(path, overrides), sep="\n")
        return DONE
    settings = read_settings(path, overrides)
    if options.once:
        publish_once(settings)
    else:
        dry_run(settings, options.samples, options.interval or FIRST_GROWTH)
    return DONE


def check(path: Path | None, overrides: Raw) -> list[str]:
    """Return what a configuration amounts to, also of a device whose certificate is still to come.

    Raises ConfigError where it cannot be used.
    """
    from defender_publisher.credentials import missing_identity

    settings = read_settings(path, overrides, credentials=False)
    missing = None if settings.agent.dry_run else missing_identity(settings.agent, path)
    if missing is None:
        return read_settings(path, overrides).check()
    from defender_publisher.provisioning.claim import claim_problems

    problems = claim_problems(settings.agent.provisioning)
    if problems:
        raise ConfigError([f"{path}: {each}" for each in problems])
    return [str(missing), *settings.lines()]


def change_certificate(options: SimpleNamespace, path: Path | None, overrides: Raw) -> int:
    """Get this device a certificate, its first or another one; return the exit status."""
    from defender_publisher.provisioning import commands

    if options.rotation_due:
        return commands.say_whether_due(path, overrides)
    if options.rotate:
        return commands.rotate_device(path, overrides, options.if_due)
    return commands.provision_device(path, overrides)


def dry_run(settings: Settings, samples: int, interval: float) -> None:
    """Print `samples` reports (0: without end), `interval` seconds apart; connect to nothing."""
    from defender_publisher.device import ThisDevice
    from defender_publisher.publisher import Publisher
    from defender_publisher.state import MemoryState

    logs.log_to_stderr(logging.WARNING)
    publisher = Publisher(settings, ThisDevice(settings.config), open_transport(settings), MemoryState())
    publisher.start_growth()
    for number in itertools.count(1):
        time.sleep(min(interval, FIRST_GROWTH) if number == 1 else interval)
        publisher.publish()
        if number == samples:
            return


def publish_once(settings: Settings) -> None:
    """Connect, publish one report, and print the verdict."""
    from defender_publisher.device import ThisDevice
    from defender_publisher.publisher import THROTTLED_WITHIN, Publisher
    from defender_publisher.state import StateFile

    logs.log_to_stderr(logging.INFO)
    directory = str(settings.agent.state_directory)
    with StateFile(directory) as store, contextlib.closing(open_transport(settings)) as transport:
        publisher = Publisher(settings, ThisDevice(settings.config), transport, store)
        transport.connect()
        time.sleep(FIRST_GROWTH)
        try:
            print(publisher.publish())
        except TooSoon as error:
            at = time.strftime("%H:%M:%S", time.localtime(time.time() + THROTTLED_WITHIN))
            print(f"{error}; the next one can be accepted from {at} on")


def print_status(path: Path | None, overrides: Raw, for_program: bool, wait: float = 0.0) -> int:
    """Print how the daemon does, once its first report has a verdict or `wait` seconds are over; return its status."""
    from defender_daemon.health import EXIT_HEALTH, as_json
    from defender_publisher import health

    settings = read_settings(path, overrides, credentials=False)
    found = health.wait_for_verdict(settings, wait)
    lines = as_json(found) if for_program else map(printable_lines, health.describe(found))
    print(*lines, sep="\n")
    return EXIT_HEALTH[found.health]


def examine(path: Path | None, overrides: Raw, as_json: bool) -> int:
    """Print what the doctor finds, each check when it is known or all as JSON; return whether none failed."""
    from defender_daemon import ladder
    from defender_publisher.doctor import case, examination

    logs.log_to_stderr(logging.WARNING)
    return DONE if ladder.show(examination.examine(case.Case(path, overrides)), as_json) else FAILED


def write_bundle(bundle: Path, path: Path | None, overrides: Raw) -> int:
    """Write the support bundle and print what is in it."""
    from defender_publisher.doctor import case
    from defender_publisher.support.bundle import write

    logs.log_to_stderr(logging.WARNING)
    for line in write(bundle, case.Case(path, overrides)):
        print(line, flush=True)
    return DONE

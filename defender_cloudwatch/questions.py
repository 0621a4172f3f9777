"""The questions: what the program answers once and ends, rather than to send until a signal."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
import time
from collections.abc import Callable

from defender_cloudwatch.config import Settings
from defender_cloudwatch.errors import CloudWatchError
from defender_daemon import logs
from defender_daemon.text import printable_lines

DONE, FAILED = 0, 1
FIRST_RATES = 1.0  # seconds over which a single look measures rates
MOST_SHOWN = 10  # lines of each log that a dry run prints

Read = Callable[..., Settings]


def answer(options: argparse.Namespace, read: Read) -> int:
    """Answer the question that the options ask about the configuration that is `read`; return the exit status."""
    if options.status:
        return print_status(read(files=False), options.json)
    if options.doctor:
        return examine(options, read)
    settings = read()
    if options.check_config:
        print(*settings.lines(), sep="\n")
        return DONE
    return send_once(settings) if options.once else dry_run(settings)


def print_status(settings: Settings, for_program: bool) -> int:
    """Print how the daemon does; return its exit status."""
    from defender_cloudwatch import health
    from defender_daemon.health import EXIT_HEALTH, as_json

    found = health.examine(settings)
    lines = as_json(found) if for_program else map(printable_lines, health.describe(found))
    print(*lines, sep="\n")
    return EXIT_HEALTH[found.health]


def examine(options: argparse.Namespace, read: Read) -> int:
    """Print what the doctor finds, each check when it is known or all as JSON; return whether none failed."""
    from defender_cloudwatch import doctor
    from defender_daemon import ladder

    logs.log_to_stderr(logging.WARNING)
    found = doctor.examine(doctor.Case(options.config, lambda: read(files=False)))
    return DONE if ladder.show(found, options.json) else FAILED


def dry_run(settings: Settings) -> int:
    """Print what would be sent now; connect to nothing, and keep nothing."""
    from defender_cloudwatch.service import Service

    logs.log_to_stderr(logging.WARNING)
    service = Service(settings, keep=False)
    if settings.namespace is not None:
        time.sleep(FIRST_RATES)
        for each in service.measure():
            print(json.dumps({"namespace": settings.namespace, **each}))
    for source, messages in service.preview():
        for message in messages[:MOST_SHOWN]:
            print(json.dumps({**source.target._asdict(), "message": message}))
        left = len(messages) - MOST_SHOWN
        print(f"{source.name}: {f'and {left} more' if left > 0 else f'{len(messages)} new events'}", file=sys.stderr)
    return DONE


def send_once(settings: Settings) -> int:
    """Send metrics and logs as they are now; print how much that was, and return whether it worked."""
    from defender_cloudwatch.service import Service

    logs.log_to_stderr(logging.INFO)
    with contextlib.closing(Service(settings)) as service:
        if settings.namespace is not None:
            time.sleep(FIRST_RATES)
            print(f"{service.put_metrics()} metrics were sent")
        try:
            count, failed = service.put_logs()
        except OSError as error:
            raise CloudWatchError(f"where reading stands cannot be kept: {error.strerror}") from error
        print(f"{count} log events were sent")
    return FAILED if failed else DONE

"""The program: does what the command line asks for, and ends with the exit status that says how it went."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from defender_cloudwatch.arguments import PROGRAM, read_arguments
from defender_cloudwatch.errors import CloudWatchError
from defender_daemon.errors import ConfigError
from defender_daemon.text import print_all, printable_lines

if TYPE_CHECKING:
    from defender_cloudwatch.config import Settings

EXIT_OK, EXIT_FAILED = 0, 1
EXIT_MISSING, EXIT_CONFIG = 69, 78  # EX_UNAVAILABLE and EX_CONFIG of sysexits.h
PACKAGES = ("msgspec", "psutil", "timeloop")  # of requirements.txt
FIRST_RATES = 1.0  # seconds over which a single look measures rates
MOST_SHOWN = 10  # lines of each log that a dry run prints


def main(argv: list[str] | None = None) -> int:
    """Run the program as the arguments say; return the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing that blocks before the jobs run holds it up
    print_all(sys.stdout)
    options = read_arguments(sys.argv[1:] if argv is None else argv)
    try:
        status = run(options)
        sys.stdout.flush()  # here, where a reader that has gone is no surprise
        return status
    except (ConfigError, CloudWatchError) as error:
        print(printable_lines(str(error)), file=sys.stderr)
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED
    except ModuleNotFoundError as error:
        return _say_missing(error)
    except KeyboardInterrupt:
        return EXIT_FAILED if options.once or options.check_config or options.dry_run else EXIT_OK
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at the end
        return EXIT_FAILED


def run(options: argparse.Namespace) -> int:
    """Answer a question, or send until a signal; return the exit status."""
    from defender_cloudwatch.config import read_settings

    def read() -> Settings:
        return read_settings(options.config, private_key=options.private_key)

    settings = read()
    if options.check_config:
        print(*settings.lines(), sep="\n")
        return EXIT_OK
    if options.dry_run:
        return dry_run(settings)
    if options.once:
        return send_once(settings)
    from defender_cloudwatch.daemon import run_until_stopped

    run_until_stopped(settings, read)
    return EXIT_OK


def dry_run(settings: Settings) -> int:
    """Print what would be sent now; connect to nothing, and keep nothing."""
    from defender_cloudwatch.service import Service
    from defender_daemon import logs

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
    return EXIT_OK


def send_once(settings: Settings) -> int:
    """Send metrics and logs as they are now; print how much that was, and return whether it worked."""
    from defender_cloudwatch.service import Service
    from defender_daemon import logs

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
    return EXIT_FAILED if failed else EXIT_OK


def _say_missing(error: ModuleNotFoundError) -> int:
    if (error.name or "").partition(".")[0] not in PACKAGES:
        raise error
    from defender_start import explain_missing

    print(f"{PROGRAM}: {explain_missing(error)}", file=sys.stderr)
    return EXIT_MISSING


if __name__ == "__main__":
    from defender_start import begin

    begin(str(Path(__file__).resolve().parent.parent / PROGRAM), oldest=(3, 9))  # in a checkout there may be a .venv
    sys.exit(main())

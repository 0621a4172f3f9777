"""The program: does what the command line asks for, and ends with the exit status that says how it went."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import defender_publisher
from defender_daemon.text import print_all, printable_lines
from defender_publisher import PROGRAM
from defender_publisher.errors import ConfigError, DefenderError, HungError

EXIT_OK, EXIT_FAILED = 0, 1
EXIT_MISSING, EXIT_HUNG, EXIT_CONFIG = 69, 75, 78  # EX_UNAVAILABLE, EX_TEMPFAIL and EX_CONFIG of sysexits.h
PARSERS = ("argparse", "gettext", "locale", "defender_publisher.arguments")
PACKAGES = ("AWSIoTPythonSDK", "cbor2", "msgspec", "psutil", "timeloop")  # requirements.txt


def main(argv: list[str] | None = None) -> int:
    """Run the publisher as the arguments say; return the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing that blocks before the jobs run holds it up
    print_all(sys.stdout)
    options = _read_arguments(sys.argv[1:] if argv is None else argv)
    try:
        status = run(options)
        sys.stdout.flush()  # here, where a reader that has gone is no surprise
        return status
    except HungError as error:
        return _end_hung(error)
    except DefenderError as error:
        doctor = "" if options.asks or options.dry_run else f" ({PROGRAM} doctor finds out more)"  # for the journal
        print(printable_lines(str(error)) + doctor, file=sys.stderr)
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED
    except ModuleNotFoundError as error:
        return _say_missing(error)
    except KeyboardInterrupt:
        return EXIT_FAILED if options.asks else EXIT_OK
    except BrokenPipeError:
        return _end_unread(options.asks)


def run(options: SimpleNamespace) -> int:
    """Answer a question, or publish until a signal; return the exit status."""
    from defender_publisher.overrides import overrides_of
    from defender_publisher.settings import find_config_file, read_settings

    if options.greengrass:
        return run_component(options)
    overrides = overrides_of(vars(options))
    path = find_config_file(options.config, overrides)
    if options.asks or options.dry_run:
        from defender_publisher import questions  # here, because the daemon does without

        return questions.answer(options, path, overrides)
    from defender_publisher.daemon import run_until_stopped

    run_until_stopped(read_settings(path, overrides), lambda: read_settings(path, overrides))
    return EXIT_OK


def run_component(options: SimpleNamespace) -> int:
    """Do the same as a Greengrass component, whose configuration the nucleus has."""
    from defender_daemon import logs
    from defender_publisher.greengrass import component
    from defender_publisher.overrides import overrides_of
    from defender_publisher.settings import Settings, read_settings

    overrides, directory = overrides_of(vars(options)), component.state_directory()
    quiet = options.asks and not options.check_config
    logs.log_to_stderr(logging.WARNING if quiet else logging.INFO)  # until the configuration is there that says where

    def reread() -> Settings:
        return read_settings(component.refetch_configuration(directory), overrides)

    if options.asks or options.dry_run:
        from defender_publisher import questions

        return questions.answer(options, component.fetch_configuration(directory), overrides)
    from defender_publisher.daemon import run_until_stopped

    with component.follow_configuration():
        run_until_stopped(read_settings(component.wait_for_configuration(directory), overrides), reread)
    return EXIT_OK


def _read_arguments(argv: list[str]) -> SimpleNamespace:
    """Return the options, and let go of what reads them: a daemon goes on for years in the 0.3 MB that it leaves."""
    ours = [name for name in PARSERS if name not in sys.modules]
    from defender_publisher.arguments import read_arguments

    options = SimpleNamespace(**vars(read_arguments(argv)))
    del read_arguments
    for name in ours:
        del sys.modules[name]
    vars(defender_publisher).pop("arguments", None)
    gc.collect()
    return options


def _end_hung(error: HungError) -> int:
    from defender_daemon.jobs import end_hung  # here, because whoever asks does without

    return end_hung(error, EXIT_HUNG)


def _say_missing(error: ModuleNotFoundError) -> int:
    from defender_start import say_missing

    say_missing(PROGRAM, error, PACKAGES)
    return EXIT_MISSING


def _end_unread(asks: bool) -> int:
    """Take leave of a reader who has gone; an answer that was cut off is no success."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at the end
    if not asks:
        return EXIT_OK
    print(f"{PROGRAM}: the output was closed before its end", file=sys.stderr)
    return EXIT_FAILED


if __name__ == "__main__":
    from defender_start import begin

    begin(str(Path(__file__).resolve().parent.parent / PROGRAM), oldest=(3, 9))  # in a checkout there may be a .venv
    sys.exit(main())

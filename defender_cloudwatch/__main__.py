"""The program: does what the command line asks for, and ends with the exit status that says how it went."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from defender_cloudwatch.arguments import PROGRAM, read_arguments
from defender_daemon.errors import ConfigError, DefenderError, HungError
from defender_daemon.text import print_all, printable_lines

if TYPE_CHECKING:
    from defender_cloudwatch.config import Settings

EXIT_OK, EXIT_FAILED = 0, 1
EXIT_MISSING, EXIT_HUNG, EXIT_CONFIG = 69, 75, 78  # EX_UNAVAILABLE, EX_TEMPFAIL and EX_CONFIG of sysexits.h
PACKAGES = ("msgspec", "psutil", "timeloop")  # of requirements.txt; psutil elsewhere than on Linux


def main(argv: list[str] | None = None) -> int:
    """Run the program as the arguments say; return the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing that blocks before the jobs run holds it up
    print_all(sys.stdout)
    options = read_arguments(sys.argv[1:] if argv is None else argv)
    try:
        status = run(options)
        sys.stdout.flush()  # here, where a reader that has gone is no surprise
        return status
    except HungError as error:
        from defender_daemon.jobs import end_hung  # here, because whoever asks does without

        return end_hung(error, EXIT_HUNG)
    except DefenderError as error:
        doctor = "" if options.asks else f" ({PROGRAM} doctor finds out more)"  # for the journal
        print(printable_lines(str(error)) + doctor, file=sys.stderr)
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED
    except ModuleNotFoundError as error:
        return _say_missing(error)
    except KeyboardInterrupt:
        return EXIT_FAILED if options.asks else EXIT_OK
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at the end
        return EXIT_FAILED


def run(options: argparse.Namespace) -> int:
    """Answer a question, or send until a signal; return the exit status."""
    from defender_cloudwatch.config import read_settings

    def read(files: bool = True) -> Settings:
        return read_settings(options.config, private_key=options.private_key, files=files)

    if options.asks:
        from defender_cloudwatch import questions  # here, because the daemon does without

        return questions.answer(options, read)
    from defender_cloudwatch.daemon import run_until_stopped

    run_until_stopped(read(), read)
    return EXIT_OK


def _say_missing(error: ModuleNotFoundError) -> int:
    from defender_start import say_missing

    say_missing(PROGRAM, error, PACKAGES)
    return EXIT_MISSING


if __name__ == "__main__":
    from defender_start import begin

    begin(str(Path(__file__).resolve().parent.parent / PROGRAM), oldest=(3, 9))  # in a checkout there may be a .venv
    sys.exit(main())

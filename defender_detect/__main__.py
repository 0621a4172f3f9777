"""The program: does what the command line asks for, and ends with the exit status that says how it went."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from defender_detect.arguments import EXIT_CONFIG, PROGRAM, read_arguments
from defender_detect.errors import BrokerError, BrokerUnavailable, DetectError
from defender_detect.logs import start_logging

EXIT_OK = 0
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE: trying again later may help, when the port is free for instance
EXIT_INTERRUPTED = 130  # what a shell says of a program that was ended by SIGINT
PACKAGES = ("amqtt", "cbor2", "cryptography", "msgspec", "paho", "rich")  # requirements.txt, and what those bring


def main(argv: Sequence[str] | None = None) -> int:
    """Answer reports until SIGTERM or SIGINT, or a question about what is kept; return the exit status."""
    options = read_arguments(sys.argv[1:] if argv is None else argv)
    start_logging(bool(options.debug))
    try:
        run(options)
        sys.stdout.flush()  # here, where a reader that has gone is no surprise
        return EXIT_OK
    except BrokerError as error:
        return _fail(str(error), EXIT_UNAVAILABLE)
    except BrokerUnavailable as error:
        cause = error.__cause__
        return _say_missing(cause) if isinstance(cause, ModuleNotFoundError) else _fail(str(error), EXIT_CONFIG)
    except DetectError as error:
        return _fail(str(error), EXIT_CONFIG)
    except ModuleNotFoundError as error:
        return _say_missing(error)
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes
        return EXIT_OK
    except KeyboardInterrupt:  # of a question or a replay; SIGINT ends Detect itself with 0
        return EXIT_INTERRUPTED


def run(options: argparse.Namespace) -> None:
    """Answer a question, issue certificates, or answer reports until a signal."""
    if options.command:
        from defender_detect import home  # here, as below

        for line in home.carry_out(vars(options)):
            print(line, flush=True)  # each when it is so, whatever becomes of the next
        return
    if options.question or options.check_config or options.replay:
        from defender_detect import questions  # here, where packages that are missing are said

        questions.answer(options)
        return
    from defender_detect.config import read_config
    from defender_detect.daemon import run_until_stopped

    run_until_stopped(lambda: read_config(options.config, vars(options)))


def _say_missing(error: ModuleNotFoundError) -> int:
    if (error.name or "").partition(".")[0] not in PACKAGES:
        raise error
    from defender_start import explain_missing

    return _fail(explain_missing(error, "detect", "install-detect"), EXIT_CONFIG)


def _fail(message: str, status: int) -> int:
    """Say why the program ends, and return the exit status."""
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    from defender_start import begin

    begin(str(Path(__file__).resolve().parent.parent / PROGRAM), oldest=(3, 9))  # in a checkout there may be a .venv
    sys.exit(main())

"""The program: does what the command line asks for, and ends with the exit status that says how it went."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from defender_daemon.errors import DefenderError
from defender_daemon.program import let_go_of_output
from defender_detect.arguments import CONSOLE, EXIT_CONFIG, IMPORT, PROGRAM, RULES, read_arguments
from defender_detect.errors import BrokerError, BrokerUnavailable, DetectError, ListenError, StoreUnavailable
from defender_detect.logs import start_logging

EXIT_OK, EXIT_FAILED = 0, 1
EXIT_UNAVAILABLE = 69  # EX_UNAVAILABLE: trying again later may help, when the port is free for instance
EXIT_INTERRUPTED = 130  # what a shell says of a program that was ended by SIGINT
PACKAGES = ("amqtt", "cbor2", "cryptography", "msgspec", "paho", "rich")  # requirements.txt, and what those bring
CONSOLES_PYTHON = (3, 11)
CONSOLES = ("anyio", "jinja2", "markupsafe", "starlette", "uvicorn")  # console-requirements.txt, and what those bring


def main(argv: Sequence[str] | None = None) -> int:
    """Answer reports until SIGTERM or SIGINT, or a question about what is kept; return the exit status."""
    options = read_arguments(sys.argv[1:] if argv is None else argv)
    start_logging(bool(options.debug))
    try:
        status = run(options)
        if sys.stdout is not None:  # which whoever started this may have closed
            sys.stdout.flush()  # here, where a reader that has gone is no surprise
        return status
    except (BrokerError, ListenError, StoreUnavailable) as error:
        return _fail(str(error), EXIT_UNAVAILABLE)
    except BrokerUnavailable as error:
        cause = error.__cause__
        return _say_missing(cause) if isinstance(cause, ModuleNotFoundError) else _fail(str(error), EXIT_CONFIG)
    except DetectError as error:
        return _fail(str(error), EXIT_CONFIG)
    except DefenderError as error:  # of what is kept of a Detect that runs
        return _fail(str(error), EXIT_FAILED)
    except ModuleNotFoundError as error:
        return _say_missing(error)
    except BrokenPipeError:  # the reader has seen enough
        let_go_of_output()
        return EXIT_OK
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        let_go_of_output()
        return _fail(f"the output cannot be written: {error.strerror}", EXIT_FAILED)
    except KeyboardInterrupt:  # of a question or a replay; SIGINT ends Detect itself with 0
        return EXIT_INTERRUPTED


def run(options: argparse.Namespace) -> int:
    """Do what a word asks for, answer a question, or reports until a signal; return the exit status."""
    if options.command == CONSOLE:
        from defender_detect.config_file import read_config  # here, as below
        from defender_detect.several import directory_of, each_of
        from defender_detect.showing import show

        given = {key: getattr(options, key) for key in ("state_directory", "state_directories")}
        directories = [directory_of(each) for each in each_of(options.config, given)]
        show(lambda: read_config(options.config, given), directories, options.console_port)
        return EXIT_OK
    if options.command == IMPORT:
        from defender_detect import account

        return print_lines(account.carry_out(vars(options)))
    if options.command == RULES:
        from defender_detect.attachments import read_rules
        from defender_detect.config_file import read_config

        return print_lines([read_rules(read_config(options.config, {})).to_json().decode()])
    if options.command:
        from defender_detect import home

        return print_lines(home.carry_out(vars(options)))
    modes = (options.question, options.check_config, options.replay, options.status, options.doctor)
    if any(modes) or options.support_bundle:
        from defender_detect import questions  # here, where packages that are missing are said

        return questions.answer(options)
    from defender_detect.config_file import read_config
    from defender_detect.daemon import run_until_stopped

    run_until_stopped(lambda: read_config(options.config, vars(options)), options.config)
    return EXIT_OK


def print_lines(lines: Iterable[str]) -> int:
    """Print each line when it is so, whatever becomes of the next; return the exit status."""
    for line in lines:
        print(line, flush=True)
    return EXIT_OK


def _say_missing(error: ModuleNotFoundError) -> int:
    from defender_start import say_missing

    is_consoles = (error.name or "").partition(".")[0] in CONSOLES
    if is_consoles and sys.version_info < CONSOLES_PYTHON:
        return _fail(f"the console needs Python 3.11 or later, this is {sys.version.split()[0]}", EXIT_CONFIG)
    extra = "detect,console" if is_consoles else "detect"
    say_missing(PROGRAM, error, PACKAGES + CONSOLES, extra, "install-detect")
    return EXIT_CONFIG


def _fail(message: str, status: int) -> int:
    """Say why the program ends, and return the exit status."""
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    from defender_start import begin

    begin(str(Path(__file__).resolve().parent.parent / PROGRAM), oldest=(3, 9))  # in a checkout there may be a .venv
    sys.exit(main())

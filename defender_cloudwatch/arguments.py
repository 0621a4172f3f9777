"""The command line."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from defender_cloudwatch import __version__
from defender_daemon import DEFAULT_CONFIG_FILE

PROGRAM = "amazon-defender-cloudwatch"
HELP_WIDTH = 110  # columns
WORDS = {  # for an option, where a word comes first: amazon-defender-cloudwatch status
    "run": (),
    "check": ("--check-config",),
    "check-config": ("--check-config",),
    "dry-run": ("--dry-run",),
    "once": ("--once",),
    "status": ("--status",),
    "doctor": ("--doctor",),
    "version": ("--version",),
    "help": ("--help",),
}
EPILOG = (
    "Exit status: 0 done or stopped, 1 failed, 69 a package is missing, 75 hung, 78 the configuration is unusable. "
    "The first word may be a mode without its dashes (status, doctor, check, ...). The configuration is "
    "amazon-defender-publisher's."
)


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in a line."""

    def error(self, message: str) -> NoReturn:
        """Say in a line what is wrong with the command line, and exit."""
        self.exit(2, f"{PROGRAM}: {message} (see {PROGRAM} --help)\n")


def read_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Return the options; `asks` says whether the program is to answer a question, rather than to send."""
    words = [*WORDS[argv[0]], *argv[1:]] if argv and argv[0] in WORDS else argv
    options = new_parser().parse_args(words)
    asks = (options.check_config, options.dry_run, options.once, options.status, options.doctor)
    options.asks = any(asks)
    return options


def new_parser() -> Parser:
    """Return what reads the command line."""
    parser = Parser(
        prog=PROGRAM,
        formatter_class=functools.partial(argparse.HelpFormatter, width=HELP_WIDTH),
        description="Send this device's metrics and logs to Amazon CloudWatch, by the device's certificate.",
        epilog=EPILOG,
        allow_abbrev=False,
    )
    default = Path(DEFAULT_CONFIG_FILE)
    help_ = f"default: {DEFAULT_CONFIG_FILE}"
    parser.add_argument("config", nargs="?", type=Path, default=default, metavar="CONFIG", help=help_)
    key = "the private key, instead of the configuration's: systemd hands a copy over"
    parser.add_argument("-k", "--private-key", metavar="FILE", help=key)
    add = parser.add_mutually_exclusive_group().add_argument
    add("--check-config", action="store_true", help="check the configuration and print what it amounts to")
    add("-d", "--dry-run", action="store_true", help="print what would be sent, connect to nothing, keep nothing")
    add("--once", action="store_true", help="send what is there now, and end")
    health = "show the daemon's health (exit status 0 healthy, 1 late, 3 not running)"
    add("--status", action="store_true", help=health)
    add("--doctor", action="store_true", help="find out what keeps metrics and logs from arriving, and what to do")
    add("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument("--json", action="store_true", help="with --doctor and --status: output for a program")
    return parser

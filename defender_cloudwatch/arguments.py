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
EPILOG = (
    "Exit status: 0 done or stopped, 1 failed, 69 a package is missing, 78 the configuration is unusable. The "
    "configuration is amazon-defender-publisher's."
)


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in a line."""

    def error(self, message: str) -> NoReturn:
        """Say in a line what is wrong with the command line, and exit."""
        self.exit(2, f"{PROGRAM}: {message} (see {PROGRAM} --help)\n")


def read_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Return the options."""
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
    add("--version", action="version", version=f"%(prog)s {__version__}")
    return parser.parse_args(argv)

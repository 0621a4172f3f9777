"""The command line: dashed options, the first agent's spellings of them, and plain words for the questions."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from defender_daemon import DEFAULT_CONFIG_FILE, LONGEST_YEAR
from defender_publisher import PROGRAM, __version__
from defender_publisher.overrides import OVERRIDES

HELP_WIDTH = 110  # columns
WORDS = {  # for an option, where a word comes first: amazon-defender-publisher status
    "run": (),
    "check": ("--check-config",),
    "check-config": ("--check-config",),
    "dry-run": ("--dry-run",),
    "once": ("--once",),
    "status": ("--status",),
    "doctor": ("--doctor",),
    "support-bundle": ("--support-bundle",),
    "bundle": ("--support-bundle",),
    "provision": ("--provision",),
    "rotate": ("--rotate",),
    "version": ("--version",),
    "help": ("--help",),
}
QUESTIONS = ("once", "check_config", "status", "doctor", "support_bundle", "provision", "rotate", "rotation_due")
FIRST_AGENTS = {  # the spellings of AWS's first Device Defender agent (agent.py), and those of this program so far
    "--rootCA": "--root-ca",
    "--cert": "--certificate",
    "--key": "--private-key",
    "--client_id": "--client-id",
    "--thing_name": "--thing-name",
    "--short_tags": "--short-names",
    "--short-tags": "--short-names",
    "--dryrun": "--dry-run",
    "--include-custom-metrics": "--custom-metrics",
}
EPILOG = (
    "Exit status: 0 done or stopped, 1 failed or not accepted, 69 a package is missing, 75 hung or to be tried again, "
    "77 refused, 78 the configuration is unusable, 130 --provision or --rotate was interrupted. The first word may be "
    "a mode without its dashes (status, doctor, check, ...). The spellings of AWS's first agent (--rootCA, "
    "--thing_name, ...) are accepted too."
)


class Parser(argparse.ArgumentParser):
    """A parser that knows the first agent's spellings, in files of arguments (@FILE) as well."""

    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        """Return the argument on a line of a file."""
        return [canonical(arg_line)]

    def error(self, message: str) -> NoReturn:
        """Say in a line what is wrong with the command line, and exit."""
        self.exit(2, f"{PROGRAM}: {message} (see {PROGRAM} --help)\n")


def read_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Return the options; those that stand for a key of the configuration have the key as their name.

    `asks` says whether the program is to answer a question, rather than to print or send reports.
    """
    options = new_parser().parse_args(spelled_out(argv))
    if options.samples < 0 or not 1 <= (options.interval or 1) <= LONGEST_YEAR or options.interval == 0:
        new_parser().error(f"--samples must be at least 0, and --interval from 1 to {LONGEST_YEAR}")
    if options.wait is not None and not (options.status and 0 <= options.wait <= LONGEST_YEAR):
        new_parser().error(f"--wait must be from 0 to {LONGEST_YEAR}, and goes with --status")
    if options.if_due and not options.rotate:
        new_parser().error("--if-due goes with --rotate")
    options.asks = any(getattr(options, each) for each in QUESTIONS)
    return options


def spelled_out(argv: Sequence[str]) -> list[str]:
    """Return the arguments with a word in front, and the first agent's spellings, in the dialect of this program."""
    words = [*WORDS[argv[0]], *argv[1:]] if argv and argv[0] in WORDS else argv
    return [canonical(each) for each in words]


def canonical(argument: str) -> str:
    """Return an argument with the first agent's spelling of an option in ours: `--rootCA=FILE` is `--root-ca=FILE`."""
    name, equals, value = argument.partition("=")
    return FIRST_AGENTS.get(name, name) + equals + value


def new_parser() -> Parser:
    """Return what reads the command line."""
    parser = Parser(
        prog=PROGRAM,
        formatter_class=functools.partial(argparse.HelpFormatter, width=HELP_WIDTH),  # to find it out takes a megabyte
        description="Report this device's network activity and custom metrics to AWS IoT Device Defender.",
        epilog=EPILOG,
        fromfile_prefix_chars="@",
        allow_abbrev=False,
    )
    parser.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help=f"default: {DEFAULT_CONFIG_FILE}")
    _add_modes(parser)
    component = "run as a Greengrass V2 component: configuration and connection are the nucleus's"
    parser.add_argument("--greengrass", action="store_true", help=component)
    parser.add_argument("--json", action="store_true", help="with --doctor and --status: output for a program")
    parser.add_argument("--wait", type=float, metavar="S", help="with --status: wait up to S seconds for a verdict")
    parser.add_argument("--if-due", action="store_true", help="with --rotate: only where it is asked for or due by age")
    samples = "number of dry-run reports (default: 1; 0: until interrupted)"
    parser.add_argument("--samples", type=int, default=1, metavar="N", help=samples)
    parser.add_argument("-i", "--interval", type=int, metavar="S", help="seconds between two reports")
    keys = parser.add_argument_group("options that override the configuration file")
    for names, key, value in OVERRIDES:
        keys.add_argument(*names, dest=key, help=key, **value)
    return parser


def _add_modes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_mutually_exclusive_group().add_argument
    add("--check-config", action="store_true", help="check the configuration and print every effective value")
    add("-d", "--dry-run", action="store_true", help="print reports, connect to nothing")
    add("--once", action="store_true", help="publish one report and print whether it was accepted")
    health = "show the daemon's health (exit status 0 healthy, 1 late, 3 not running)"
    add("--status", action="store_true", help=health)
    add("--doctor", action="store_true", help="find out what keeps reports from arriving, and what to do about it")
    bundle = "write diagnostics for a support request to FILE (.tar.gz)"
    add("--support-bundle", type=Path, metavar="FILE", help=bundle)
    claim = "get this device its own certificate by its claim; does nothing once it has one"
    add("--provision", action="store_true", help=claim)
    add("--rotate", action="store_true", help="replace this device's key and certificate by new ones")
    due = "say whether --rotate --if-due would do that now (exit status 0), or not (1); connect to nothing"
    add("--rotation-due", action="store_true", help=due)
    add("--version", action="version", version=f"%(prog)s {__version__}")

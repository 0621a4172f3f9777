"""The command line: dashed options, the first agent's spellings of them, and words that query stored data."""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from defender_daemon.text import printable
from defender_detect import __version__
from defender_detect.authority import arguments as authority
from defender_detect.console import arguments as console

PROGRAM = "amazon-defender-detect"
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h: trying again is useless, which a service manager can be told
MOST_DAYS = 36_500  # to look back
MOST_DIGITS = 9  # of a shard's number; Python refuses to read one of thousands
QUESTIONS = {  # instead of a configuration
    "violations": "List alarms that were raised, cleared or invalidated",
    "metrics": "List the values of a thing's metric",
    "things": "List the things that reported",
    "suggest": "Print a security profile of what was normal in the reports that are kept",
}
CONSOLE, IMPORT, RULES = console.CONSOLE, "import", "rules"
COMMANDS = {  # what else is done than to answer reports or questions
    **authority.COMMANDS,
    CONSOLE: console.DESCRIPTION,
    IMPORT: "Read an AWS account's security profiles, whom they are for, and the thing groups, into files",
    RULES: "Print a configuration's profiles and thing groups as one line of JSON, for the job on Apache Flink",
}
WORD = re.compile(r"[a-z][a-z-]{1,30}")  # what could be one of these, and is hardly a configuration's name
NO_MODE = {"check_config": False, "replay": None, "status": False, "doctor": False, "support_bundle": None}
WORDS = {  # for an option, where a word comes first: amazon-defender-detect status
    "doctor": "--doctor",
    "status": "--status",
    "check": "--check-config",
    "support-bundle": "--support-bundle",
}
FIRST_AGENTS = {  # the spellings of AWS's first Device Defender agent (agent.py); see also `canonical`
    "--rootCA": "--root-ca",
    "--cert": "--certificate",
    "--key": "--private-key",
}
OPTIONS = {  # the configuration's keys that an option stands for; an option is called as its key is, with dashes
    "agent.authentication.endpoint": "--endpoint",
    "agent.authentication.port": "--port",
    "agent.authentication.root_ca": "--root-ca",
    "agent.authentication.certificate": "--certificate",
    "agent.authentication.private_key": "--private-key",
    "agent.embedded_broker": "--embedded-broker",
    "agent.minimum_interval": "--minimum-interval",
    "agent.state_directory": "--state-directory",
    "agent.shard": "--shard",
    "agent.debug": "--debug",
    "detect.profiles": "--profiles",
}


class Parser(argparse.ArgumentParser):
    """A parser of the command line whose errors are one line, with the exit status for a wrong configuration."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit; a word has a help of its own."""
        self.exit(EXIT_CONFIG, f"{PROGRAM}: {message} (see {self.prog} --help)\n")


def read_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Return the options, named as the configuration's keys are; exit with a sentence if something is wrong.

    `question` is one of QUESTIONS, `command` one of COMMANDS, or None.
    """
    words = spelled_out(argv)
    if words and words[0] in COMMANDS:
        options = command_parser(words[0]).parse_args(words[1:], argparse.Namespace(command=words[0], debug=False))
        return with_directories(options) if words[0] == CONSOLE else options
    if words and words[0] in QUESTIONS:  # a configuration may stand before or after the options
        question = argparse.Namespace(question=words[0], command=None, debug=False, **NO_MODE)
        return with_directories(question_parser(words[0]).parse_intermixed_args(words[1:], question))
    if words and words[0] in WORDS:
        words[:1] = [WORDS[words[0]]]
    elif words and (near := meant_by(words[0])):
        new_parser().error(f"there is no command and no file {words[0]}: did you mean {near}?")
    options = with_directories(new_parser().parse_args(words, argparse.Namespace(question=None, command=None)))
    if len(options.state_directories) > 1 and not (options.doctor or options.status):
        new_parser().error("--state-directory may be given once, or more often with --status, --doctor and queries")
    if options.json and not (options.doctor or options.status):
        new_parser().error("--json goes with --doctor and --status, or behind a query")
    return options


def with_directories(options: argparse.Namespace) -> argparse.Namespace:
    """Have the state directories that were given beside the first of them, which is the one of the configuration."""
    options.state_directories = options.state_directory or []
    options.state_directory = options.state_directories[0] if options.state_directories else None
    return options


def meant_by(word: str) -> str | None:
    """Return the word of this program that a first argument is a slip of the pen for; None for a configuration."""
    if not WORD.fullmatch(word) or Path(word).exists():
        return None
    near = difflib.get_close_matches(word, (*QUESTIONS, *COMMANDS, *WORDS), 1)
    return near[0] if near else None


def spelled_out(argv: Sequence[str]) -> list[str]:
    """Return the arguments in the dialect of this program; what follows `--` is no option."""
    end = argv.index("--") if "--" in argv else len(argv)
    return [*map(canonical, argv[:end]), *argv[end:]]


def canonical(argument: str) -> str:
    """Return an argument with the first agent's spelling of an option in ours: `--root_ca=FILE` is `--root-ca=FILE`."""
    name, equals, value = argument.partition("=")
    if not name.startswith("--"):
        return argument
    return FIRST_AGENTS.get(name, name.replace("_", "-")) + equals + value


def new_parser() -> Parser:
    """Return what reads the command line."""
    words = (
        "to query stored data: %(prog)s violations | metrics THING METRIC | things | suggest (%(prog)s things --help); "
        "to look at it in a browser: %(prog)s console; "
        "certificates of one's own: %(prog)s init | add THING | remove THING | renew THING | list; "
        "coming from AWS: %(prog)s import DIR; for Apache Flink: %(prog)s rules CONFIG"
    )
    parser = Parser(
        prog=PROGRAM,
        usage="%(prog)s [MODE] [OPTIONS] [CONFIG]",
        description="Answer and evaluate reports as AWS IoT Device Defender does, at an MQTT broker or with a built-in "
        "one.",
        epilog=words,
    )
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--check-config", action="store_true", help="check configuration and profiles, and end")
    replay = "evaluate recorded reports, JSON lines, and print which alarms begin and end; - is standard input"
    modes.add_argument("--replay", metavar="FILE", type=Path, help=replay)
    health = "show Detect's health (exit status 0 healthy, 1 late, 3 not running)"
    modes.add_argument("--status", action="store_true", help=health)
    doctor = "find out what keeps reports from being answered and alarms from being heard, and what to do about it"
    modes.add_argument("--doctor", action="store_true", help=doctor)
    bundle = "write diagnostics for a support request to FILE (.tar.gz)"
    modes.add_argument("--support-bundle", metavar="FILE", type=Path, help=bundle)
    modes.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    parser.add_argument("--json", action="store_true", help="with --doctor and --status: output for a program")
    parser.add_argument("config", nargs="?", metavar="CONFIG", type=Path, help="the configuration (JSON)")
    _add_keys(parser)
    return parser


def _add_keys(parser: Parser) -> None:
    endpoint = "the broker's name or address; with --embedded-broker where to listen (default then: 127.0.0.1)"
    interval = "reject reports that come sooner after the thing's last one, in seconds (default: 300)"
    profiles = "a security profile or a directory of them, for all things; may be given more than once"
    kept = "where to keep what is found; with --status and --doctor it may be given more than once"
    parser.add_argument("--endpoint", metavar="HOST", type=host, help=endpoint)
    parser.add_argument("--port", type=int, help="its port (default: 8883); 0 to listen on a free one")
    parser.add_argument("--root-ca", metavar="FILE", help="the authorities to trust (PEM)")
    parser.add_argument("--certificate", metavar="FILE", help="Detect's certificate (PEM)")
    parser.add_argument("--private-key", metavar="FILE", help="its private key (PEM)")
    parser.add_argument("--minimum-interval", metavar="S", type=seconds, help=interval)
    parser.add_argument(
        "--embedded-broker", action="store_true", default=None, help="also run the built-in MQTT broker"
    )
    parser.add_argument("--profiles", metavar="PATH", action="append", help=profiles)
    parser.add_argument("--state-directory", metavar="DIR", action="append", help=kept)
    parser.add_argument("--shard", metavar="N", type=shard, help="the shard of agent.topic to answer, from 0")
    parser.add_argument("--debug", action="store_true", default=None, help="log much more, every report included")


def command_parser(command: str) -> Parser:
    """Return what reads the command line of one of COMMANDS."""
    parser = Parser(prog=f"{PROGRAM} {command}", description=f"{COMMANDS[command]}.")
    if command == CONSOLE:
        console.add_arguments(parser)
    elif command == IMPORT:
        _add_import(parser)
    elif command == RULES:
        parser.add_argument("config", metavar="CONFIG", type=Path, help="Detect's configuration (JSON)")
    else:
        authority.fill(parser, command)
    return parser


def _add_import(parser: Parser) -> None:
    parser.add_argument("directory", metavar="DIR", type=Path, help="a directory that is empty or new")
    parser.add_argument("--profile", help="of ~/.aws/config (default: AWS_PROFILE)")
    parser.add_argument("--region", help="default: AWS_REGION, AWS_DEFAULT_REGION, or the profile's")


def question_parser(question: str) -> Parser:
    """Return what reads the command line of a question."""
    parser = Parser(prog=f"{PROGRAM} {question}", description=f"{QUESTIONS[question]}; also while Detect runs.")
    if question == "metrics":
        parser.add_argument("thing", metavar="THING", help="the thing's name")
        parser.add_argument("metric", metavar="METRIC", help="aws:all-bytes-in for instance, or a custom one")
    parser.add_argument("config", nargs="?", metavar="CONFIG", type=Path, help="Detect's configuration (JSON)")
    kept = "its state directory, instead; may be given more than once, for the answer of several Detects"
    parser.add_argument("--state-directory", metavar="DIR", action="append", help=kept)
    parser.add_argument("--shard", metavar="N", type=shard, help="only one shard of agent.topic (default: all)")
    if question == "violations":
        parser.add_argument("--active", action="store_true", help="only the alarms that are on")
        parser.add_argument("--thing", "--thing-name", metavar="NAME", help="only those of one thing")
    if question == "suggest":
        _add_choices(parser)
        return parser
    if question != "things":
        parser.add_argument("--days", metavar="N", type=days, default=1.0, help="how far to look back (default: 1)")
    parser.add_argument("--json", action="store_true", help="in the shape of AWS's API")
    return parser


def _add_choices(parser: Parser) -> None:
    recorded = "learn from recorded reports instead, JSON lines as --replay takes them; - is standard input"
    parser.add_argument("--days", metavar="N", type=days, default=3.0, help="how far to look back (default: 3)")
    parser.add_argument("--group", metavar="NAME", help="learn from the things of a group of detect.thing_groups only")
    parser.add_argument("--name", metavar="NAME", type=profile_name, default="normal", help="the profile's (normal)")
    parser.add_argument("--recorded", metavar="FILE", type=Path, help=recorded)


def profile_name(text: str) -> str:
    """Read a security profile's name."""
    from device_defender.metrics import is_name

    if not is_name(text):
        raise argparse.ArgumentTypeError("must be 1 to 128 letters, digits and : _ -")
    return text


def host(text: str) -> str:
    """Read a host's name or address."""
    from device_defender.hosts import is_host

    if not is_host(text):
        raise argparse.ArgumentTypeError("must be a host name or an address")
    return text


def seconds(text: str) -> float:
    """Read a number of seconds."""
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of seconds of at least 0, got {printable(text)}")
    return value


def shard(text: str) -> int:
    """Read the number of a shard, written as a topic and a directory have it."""
    is_number = text.isascii() and text.isdigit() and (text == "0" or not text.startswith("0"))
    if not is_number or len(text) > MOST_DIGITS:
        raise argparse.ArgumentTypeError(
            f"must be a whole number from 0 on, without zeros before it, got {printable(text)}"
        )
    return int(text)


def days(text: str) -> float:
    """Read a number of days."""
    value = _number(text)
    if not 0 < value <= MOST_DAYS:
        raise argparse.ArgumentTypeError(
            f"must be a number of days above 0, at most {MOST_DAYS}, got {printable(text)}"
        )
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan

"""Commands: the tables of the programs' options, made from what reads their command lines."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import deploy
from defender_cloudwatch import arguments as cloudwatch
from defender_detect import arguments as detect
from defender_publisher import arguments as publisher


def publishers() -> str:
    """Return the table of the publisher's options."""
    return table(publisher.new_parser())


def cloudwatchs() -> str:
    """Return the table of the options of amazon-defender-cloudwatch."""
    return table(cloudwatch.new_parser())


def detects() -> str:
    """Return the table of Detect's options."""
    return table(detect.new_parser())


def questions() -> str:
    """Return the tables of what can be asked of Detect's stored data."""
    parsers = ((word, detect.question_parser(word)) for word in detect.QUESTIONS)
    return "\n".join(
        f"`amazon-defender-detect {word}`: {parser.description}\n\n{table(parser)}" for word, parser in parsers
    )


def consoles() -> str:
    """Return the table of the console's options."""
    return table(detect.command_parser(detect.CONSOLE))


def commands() -> str:
    """Return the tables of what makes an authority, issues certificates or imports profiles."""
    parsers = ((word, detect.command_parser(word)) for word in detect.COMMANDS if word != detect.CONSOLE)
    return "\n".join(
        f"`amazon-defender-detect {word}`: {parser.description}\n\n{table(parser)}" for word, parser in parsers
    )


def deploys() -> str:
    """Return the table of deploy.py's options."""
    return table(deploy.new_parser())


def table(parser: argparse.ArgumentParser) -> str:
    """Return the table of a parser's options and arguments: Markdown, in their order."""
    return "\n".join(["| option | what it does |", "|---|---|", *_rows(parser)]) + "\n"


def _rows(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        names = ", ".join(f"`{name}`" for name in action.option_strings)
        if not names:
            yield f"| `{action.metavar or action.dest}` | {_help(action)} |"
        else:
            yield f"| {names}{_value(action)} | {_help(action)} |"


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    name = str(action.metavar or action.dest.rpartition(".")[2].upper()).replace("|", "\\|")
    return f" `{name} ...`" if action.nargs == "+" else f" `{name}`"


def _help(action: argparse.Action) -> str:
    """Return what an option is for; one that overrides a key of the configuration says which."""
    text = (action.help or "").replace("%(default)s", str(action.default)).replace("|", "\\|")
    return f"`{text}`" if "." in action.dest and " " not in text else text

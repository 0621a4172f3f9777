"""What the installers leave to Python: the whole story of an installation, and each of its parts as a command.

Runs as `python3 -I -B device COMMAND ...` with the device's own Python, before any package is there: Python 3.9 and the
standard library; -B because nothing is to be written beside it. Prints one line about what it did; what is wrong is one
sentence on standard error and exit status 1, what was not told and cannot be asked for is exit status 2.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from certificate import certificate_id
from commands import say
from configuration import is_secret
from etc import keep_files, place_files
from install import main as install
from problem import Problem
from product import PRODUCTS, PUBLISHER
from program import check_copy, copy_program, name_program, point, write_launcher
from session import tell_problem
from stage import stage_files
from verdict import wait_for_verdict
from wheel import retag_wheels

OPTIONAL: dict[str, dict[str, Any]] = {  # arguments that may be left out
    "user?": {"nargs": "?", "default": ""},
    "product?": {"nargs": "?", "default": PUBLISHER.name, "choices": [*PRODUCTS]},
}


def main(argv: list[str] | None = None) -> int:
    """Do what the command says; return the exit status."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["install"]:
        return install(words[1:])
    arguments = parse_arguments(words)
    try:
        line = arguments.do(arguments)
    except Problem as problem:
        tell_problem(str(problem))
        return problem.status
    except OSError as error:
        tell_problem(f"{error.filename or 'the system'}: {error.strerror}")
        return 1
    except KeyboardInterrupt:
        return 1
    if line:
        say(line)
    return 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the command's arguments, with the function that does it as `do`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for do, names in {
        name_program: ["source", "product?"],
        copy_program: ["source", "directory", "product?"],
        check_copy: ["directory", "product?"],
        place_files: ["stage", "etc"],
        keep_files: ["etc", "old"],
        point: ["link", "target"],
        write_launcher: ["root", "user?", "product?"],
        is_secret: ["config"],
        certificate_id: ["certificate"],
        retag_wheels: ["directory"],
        wait_for_verdict: ["program", "config", "since"],
    }.items():
        command = commands.add_parser(do.__name__.replace("_", "-"), help=(do.__doc__ or "").splitlines()[0])
        command.set_defaults(do=do)
        for name in names:
            kind = float if name == "since" else str if name in OPTIONAL else Path
            command.add_argument(name.rstrip("?"), type=kind, **OPTIONAL.get(name, {}))
    stage = commands.add_parser("stage-files", help=(stage_files.__doc__ or "").splitlines()[0])
    stage.set_defaults(do=stage_files)
    for option in ("--into", "--etc", "--template"):
        stage.add_argument(option, type=Path, required=True)
    for option in ("--bundle", "--claim", "--config", "--certificate", "--private-key", "--root-ca"):
        stage.add_argument(option, type=Path)
    for option in ("--endpoint", "--thing-name", "--serial", "--state-directory", "--logfile"):
        stage.add_argument(option)
    stage.add_argument("--port", type=int)
    for option in ("--replace", "--ask", "--dry-run", "--first-boot"):
        stage.add_argument(option, action="store_true")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())

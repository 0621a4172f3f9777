"""The program: does what the command line asks for, and ends with the exit status that says how it went."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from defender_cloudwatch.arguments import PROGRAM, read_arguments
from defender_daemon.program import EXIT_OK, begin, carry_out

if TYPE_CHECKING:
    from defender_cloudwatch.config import Settings

PACKAGES = ("msgspec", "psutil", "timeloop")  # of requirements.txt; psutil elsewhere than on Linux


def main(argv: list[str] | None = None) -> int:
    """Run the program as the arguments say; return the exit status."""
    begin()
    options = read_arguments(sys.argv[1:] if argv is None else argv)
    return carry_out(lambda: run(options), PROGRAM, PACKAGES, options.asks, is_daemon=not options.asks)


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


if __name__ == "__main__":
    import defender_start

    program = Path(__file__).resolve().parent.parent / PROGRAM  # in a checkout there may be a .venv
    defender_start.begin(str(program), oldest=(3, 9))
    sys.exit(main())

"""The job in outline: properties and rules are read and checked, and Flink is given the graph."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from defender_detect.errors import ConfigError, DetectError, ProfileError
from defender_detect.flink.arguments import read_arguments
from defender_detect.flink.properties import Properties, read_properties
from defender_detect.flink.rules import Start, start_with

NAME = "amazon-defender-detect"
EXIT_OK, EXIT_CONFIG = 0, 78  # EX_CONFIG: trying again is useless


def main(argv: Sequence[str] | None = None) -> int:
    """Start the job; return the exit status."""
    options = read_arguments(sys.argv[1:] if argv is None else argv)
    try:
        properties = read_properties(options.properties)
        start = read_start(properties)
        if options.check:
            return EXIT_OK
        from defender_detect.flink.graph import build  # here: pyflink is needed for nothing before

        build(properties, start).execute(NAME)
    except DetectError as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return EXIT_CONFIG
    return EXIT_OK


def read_start(properties: Properties) -> Start:
    """Read the rules that the job starts with; raise ConfigError with everything that is wrong."""
    path = Path(properties.job.rules)
    try:
        return start_with(path.read_text(encoding="utf-8-sig"), time.time())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"detect: rules: {path} cannot be read: {error}"]) from error
    except ProfileError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from error

"""The job's command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from defender_detect.flink.properties import PLACE


def read_arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Return the options; exit with a sentence if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m defender_detect.flink", description=__doc__)
    parser.add_argument("--properties", type=Path, default=PLACE, metavar="FILE", help=f"default: {PLACE}")
    parser.add_argument("--check", action="store_true", help="check properties and rules, and end")
    return parser.parse_args(argv)

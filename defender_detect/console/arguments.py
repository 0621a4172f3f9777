"""The command line of `amazon-defender-detect console`."""

from __future__ import annotations

import argparse
from pathlib import Path

CONSOLE = "console"
DESCRIPTION = "Show what Detect found in a browser; also while Detect runs, and after"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the console to a parser."""
    kept = "its state directory, instead; may be given more than once, to show several as one"
    parser.add_argument("config", nargs="?", metavar="CONFIG", type=Path, help="Detect's configuration (JSON)")
    parser.add_argument("--state-directory", metavar="DIR", action="append", help=kept)
    parser.add_argument("--console-port", metavar="PORT", type=port, help="the port of the pages; 0 for a free one")


def port(text: str) -> int:
    """Read a port."""
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"must be a port from 0 to 65535, got {text}")
    return int(text)

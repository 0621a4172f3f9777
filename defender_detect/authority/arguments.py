"""The command lines of the words that issue and revoke certificates."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from defender_daemon.text import printable

DEFAULT = "/etc/amazon-defender-detect"
COMMANDS: Mapping[str, str] = {
    "init": "Make an authority, Detect's certificate and a configuration in a directory; run again, complete it",
    "add": "Issue a thing a certificate, and write the bundle that its installer takes",
    "remove": "Revoke all certificates of a thing, and shut it out of the broker",
    "renew": "Issue a thing another certificate, or Detect its own again",
    "list": "List the certificates: whose they are, and until when they are valid",
}
PORT = 8883


def fill(parser: argparse.ArgumentParser, command: str) -> argparse.ArgumentParser:
    """Add to a parser what a command takes."""
    if command == "init":
        _add_init(parser)
    else:
        if command in ("add", "remove"):
            parser.add_argument("thing", metavar="THING", help="the thing's name, as in AWS IoT")
        if command == "renew":
            _add_renew(parser)
        parser.add_argument(
            "--directory", metavar="DIR", type=Path, default=Path(DEFAULT), help=f"what init made (default: {DEFAULT})"
        )
    if command in ("add", "renew"):
        _add_bundle(parser)
    if command == "list":
        parser.add_argument("--json", action="store_true", help="output for a program")
    else:
        phrase = "the pass phrase of the authority's key, in the first line of FILE; without, a person is asked"
        parser.add_argument("--passphrase-file", metavar="FILE", type=Path, help=phrase)
    return parser


def _add_init(parser: argparse.ArgumentParser) -> None:
    listen = "names and addresses that things reach this machine by, the preferred one first (default: this machine's)"
    parser.add_argument(
        "directory", nargs="?", metavar="DIR", type=Path, default=Path(DEFAULT), help=f"where (default: {DEFAULT})"
    )
    parser.add_argument("--listen", metavar="NAME", nargs="+", action="extend", default=[], help=listen)
    parser.add_argument("--port", metavar="N", type=_port, default=PORT, help=f"the broker's port (default: {PORT})")
    parser.add_argument(
        "--mosquitto", action="store_true", help="mosquitto is the broker, for more than some tens of things or MQTT 5"
    )
    parser.add_argument(
        "--renewal",
        action="store_true",
        help="things renew their certificates over the air; the service is given the authority's key for that",
    )
    parser.add_argument("--passphrase", action="store_true", help="ask for a pass phrase for the authority's new key")


def _add_renew(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("thing", nargs="?", metavar="THING", help="the thing's name")
    which.add_argument("--server", action="store_true", help="Detect's own certificate, and mosquitto's")
    air = "these things renew theirs themselves, without a bundle, at once or when they connect next"
    which.add_argument("--over-the-air", metavar="THING", nargs="+", action="extend", default=[], help=air)
    which.add_argument("--all", action="store_true", help="the same, for every thing that has a certificate")


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    endpoint = "where the thing finds the broker, one of the names that init was given (default: the first)"
    parser.add_argument("--output", metavar="FILE", type=Path, help="the bundle (default: THING.tar, here)")
    parser.add_argument("--endpoint", metavar="HOST", help=endpoint)


def _port(text: str) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= len("65535")
    if not (is_number and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"must be from 1 to 65535, got {printable(text)}")
    return int(text)

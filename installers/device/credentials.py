"""Credentials: the certificate, its private key and the roots, and which files they are taken from."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from identity import ask

CERTIFICATE, KEY, ROOTS = "certificate.pem", "private.key", "roots.pem"
CLAIM_CERTIFICATE, CLAIM_KEY = "claim-certificate.pem", "claim-private.key"  # with which a device asks for its own
CLAIM_PATHS = {"claim_certificate": CLAIM_CERTIFICATE, "claim_private_key": CLAIM_KEY}  # keys of agent.provisioning
PATHS = {"certificate": CERTIFICATE, "private_key": KEY, "root_ca": ROOTS}  # keys of agent.authentication


def source_of(arguments: argparse.Namespace, key: str, named: Any, origin: Path, bundled: bool) -> Path | None:
    """Return the file to take for a key of `agent.authentication`, None if the bundle has it or nobody named one.

    `named` is what the configuration says, relative to `origin`, where that configuration comes from.
    """
    there, option = Path(arguments.etc / PATHS[key]), key.replace("_", "-")
    if getattr(arguments, key) is not None:
        return Path(getattr(arguments, key))
    if bundled:
        return None
    path = origin / Path(str(named)).expanduser()
    if named is not None and (arguments.config or path.exists()):
        return path
    if there.exists():
        return there
    if key != "root_ca" and arguments.ask and sys.stdin.isatty():
        return Path(ask(arguments, f"--{option} FILE", f"the file with the {option.replace('-', ' ')}")).expanduser()
    return None

"""Credentials: the certificate, its private key and the roots, and which files they are taken from."""

from __future__ import annotations

import argparse
import hashlib
import ssl
import sys
from pathlib import Path
from typing import Any

from files import read_file
from identity import ask
from problem import Problem

CERTIFICATE, KEY, ROOTS = "certificate.pem", "private.key", "roots.pem"
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


def certificate_id(arguments: argparse.Namespace) -> str:
    """Print the certificate's ID in AWS IoT, which is its SHA-256 fingerprint."""
    text = read_file(arguments.certificate).decode("ascii", "replace")
    begin, end = text.find("-----BEGIN CERTIFICATE-----"), text.find("-----END CERTIFICATE-----")
    if not 0 <= begin < end:
        raise Problem(f"{arguments.certificate} holds no certificate")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[begin:end] + "-----END CERTIFICATE-----")).hexdigest()

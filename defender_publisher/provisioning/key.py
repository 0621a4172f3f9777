"""The key: made on this device by openssl, which every system with TLS certificates has; only its request leaves it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from defender_publisher.errors import ConfigError, Problem
from defender_publisher.provisioning.errors import DEVICE, ProvisioningError

# AWS takes P-256 everywhere. LibreSSL and OpenSSL 1.0 write the curve's parameters out if not told to name it.
KIND = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:named_curve")
REQUEST = b"[req]\ndistinguished_name = name\n[name]\n"  # instead of the system's openssl.cnf, which may ask for more
LONGEST_COMMON_NAME = 64  # characters (RFC 5280, ub-common-name)
WITHIN = 120.0  # seconds; a device that has just booted for the first time waits for its random numbers
MISSING = "openssl is missing, which makes this device's key; install it (on Debian: apt-get install openssl)"


def make_key() -> bytes:
    """Return a new private key (EC P-256) in PEM form; raises ConfigError where there is no openssl."""
    return _openssl("genpkey", *KIND)


def make_request(key: Path, name: str) -> str:
    """Return the certificate signing request of the key in a file, in PEM form."""
    subject = f"/CN={name[:LONGEST_COMMON_NAME]}"
    arguments = ("-new", "-sha256", "-key", str(key), "-subj", subject, "-config", "/dev/stdin")
    return _openssl("req", *arguments, given=REQUEST).decode("ascii")


def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    try:
        done = subprocess.run(("openssl", *arguments), input=given, capture_output=True, timeout=WITHIN, check=False)
    except FileNotFoundError as error:
        raise ConfigError([MISSING]) from error
    except subprocess.TimeoutExpired as error:
        problem = Problem(f"openssl {arguments[0]} did not end within {WITHIN:.0f} s", "try again")
        raise ProvisioningError(DEVICE, problem) from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        says = f"openssl {arguments[0]} failed{': ' + said[-1] if said else ''}"
        raise ProvisioningError(DEVICE, Problem(says, f"try it by hand: openssl {' '.join(arguments)}"), final=True)
    return done.stdout

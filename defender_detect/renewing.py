"""The registrar of a configuration: its authority, opened for a service that issues certificates to things itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from defender_detect.authority.directory import STATE_OF_SERVICE, Directory, read
from defender_detect.config import Config
from defender_detect.errors import AuthorityError, DetectError
from defender_detect.renewal import Renewal

if TYPE_CHECKING:
    from defender_detect.authority.registrar import Registrar

CREDENTIAL = "authority.key"  # of systemd, which gives it to the service
WITH_MOSQUITTO = (
    "agent.renewal needs the built-in broker (agent.embedded_broker): at another broker the answers, and with them the "
    "right to register a certificate, would go to everybody who subscribes to them"
)


def make_renewal(config: Config) -> Renewal:
    """Return what answers things that ask for certificates; raise DetectError if it is wanted and cannot be."""
    check_renewal(config)
    state, wishes = config.agent.state_directory, directory_of(config).over_the_air
    if config.agent.renewal is not None and state is None:  # which systemd says to the service only
        raise DetectError("agent.renewal needs agent.state_directory, where it is kept which certificates count")
    registrar = None if config.agent.renewal is None else open_registrar(config)
    return Renewal(Path(state) if state is not None else None, wishes, registrar)


def check_renewal(config: Config) -> None:
    """Raise DetectError for a broker at which nothing can be renewed over the air, where that is wanted."""
    if config.agent.renewal is not None and not config.agent.embedded_broker:
        raise DetectError(WITH_MOSQUITTO)


def directory_of(config: Config) -> Directory:
    """Return what `init` made: where the authority is, or else the file of the authorities that are trusted."""
    renewal, roots = config.agent.renewal, config.agent.authentication.root_ca
    return Directory(Path(renewal.authority if renewal is not None else roots or ".").parent)


def state_of(config: Config) -> Path:
    """Return where the service keeps what it finds, for a command that is not the service."""
    return Path(config.agent.state_directory or STATE_OF_SERVICE)


def open_registrar(config: Config) -> Registrar:
    """Return who issues certificates to things; raise AuthorityError if the authority's key cannot be used."""
    from defender_detect.authority.passphrase import Passphrase
    from defender_detect.authority.registrar import Registrar, issuer_of

    renewal, roots = config.agent.renewal, Path(config.agent.authentication.root_ca or "")
    assert renewal is not None
    path = key_path(Path(renewal.authority))
    pem = read(path)
    if pem is None:
        raise AuthorityError(f"there is no {path}, without which agent.renewal can issue no certificate")
    refuse_passphrase(path, pem)
    issuer = issuer_of(path, pem, roots, Passphrase(can_ask=lambda: False))
    return Registrar(issuer, state_of(config), renewal.days)


def key_path(authority: Path) -> Path:
    """Return where the authority's key is: systemd's copy for the service, or the file itself."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    copy = Path(credentials) / CREDENTIAL if credentials else None
    return copy if copy is not None and copy.exists() else authority / CREDENTIAL


def refuse_passphrase(path: Path, pem: bytes) -> None:
    """Raise AuthorityError for a key with a pass phrase, which a service cannot type."""
    if b"ENCRYPTED" in pem:
        raise AuthorityError(
            f"{path} has a pass phrase, which a service cannot type: renew certificates by bundles (renew THING) and "
            "leave agent.renewal out, or run init --renewal with another directory, without --passphrase"
        )

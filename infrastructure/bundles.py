"""Bundles: all that a device needs for being its thing, in one tar that the installers take."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from infrastructure.errors import DeployError
from infrastructure.json_file import read_json
from infrastructure.keys import KeyStore
from infrastructure.names import Names
from infrastructure.private_file import read_file, write_file

CONFIG = "amazon-defender-publisher.json"
CERTIFICATE, PRIVATE_KEY, ROOTS = "certificate.pem", "private.key", "roots.pem"
CLAIM, CLAIM_KEYS = "claim", "claim.d"  # claim.tar, and the directory of its keys: no thing's name has a dot
CLAIM_CERTIFICATE, CLAIM_PRIVATE_KEY = "claim-certificate.pem", "claim-private.key"
_MODES = {PRIVATE_KEY: 0o600, CLAIM_PRIVATE_KEY: 0o600}  # and 0644 for the rest
_LONG_AGO = 315532800  # 1980-01-01: the same content is the same tar, and no tar finds the date implausible


def read_device_config(path: Path) -> dict[str, Any]:
    """Read what every device of the fleet has in its configuration; raise DeployError if it is no JSON object."""
    config = read_json(path)
    sections = [config.get(name, {}) for name in ("agent", "custom_metrics")] if isinstance(config, dict) else [None]
    if not all(isinstance(section, dict) for section in sections):
        raise DeployError(f"{path} must be an object, with objects as agent and custom_metrics")
    return dict(config)


def unreported(metrics: Iterable[str], device_config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return those of the custom metrics that no device of the fleet reports, so that their behaviors stay silent."""
    reported = device_config.get("custom_metrics", {})
    return tuple(name for name in metrics if name not in reported)


def with_credentials(device_config: Mapping[str, Any], endpoint: str, role_alias: str) -> dict[str, Any]:
    """Return the configuration with where devices get AWS credentials for their certificates, for CloudWatch."""
    agent = device_config.get("agent", {})
    credentials = {"endpoint": endpoint, "role_alias": role_alias}
    authentication = {**agent.get("authentication", {}), "credentials": credentials}
    return {**device_config, "agent": {**agent, "authentication": authentication}}


def write_bundle(
    store: KeyStore, thing: str, endpoint: str, device_config: Mapping[str, Any], roots: Path
) -> Path | None:
    """Write DIR/<thing>.tar for a thing whose key is settled, and return where; None if it is there like that."""
    config = _without_claim(device_config)
    with store.locked(thing):
        contents = {
            CONFIG: _fill_in(config, endpoint, thing_name=thing),
            CERTIFICATE: _read(store.certificate(thing)),
            PRIVATE_KEY: _read(store.private_key(thing)),
            ROOTS: _read_roots(roots),
        }
        return _write(store.directory / f"{thing}.tar", contents)


def write_claim(
    store: KeyStore, names: Names, endpoint: str, device_config: Mapping[str, Any], roots: Path
) -> Path | None:
    """Write DIR/claim.tar for devices that provision themselves, and return where; None if it is there like that."""
    provisioning = {
        **device_config.get("agent", {}).get("provisioning", {}),
        "template": names.template,
        "rotation_template": names.rotation_template,
        "claim_certificate": CLAIM_CERTIFICATE,
        "claim_private_key": CLAIM_PRIVATE_KEY,
    }
    with store.locked(CLAIM_KEYS):
        contents = {
            CONFIG: _fill_in(device_config, endpoint, provisioning=provisioning),
            CLAIM_CERTIFICATE: _read(store.certificate(CLAIM_KEYS)),
            CLAIM_PRIVATE_KEY: _read(store.private_key(CLAIM_KEYS)),
            ROOTS: _read_roots(roots),
        }
        return _write(store.directory / f"{CLAIM}.tar", contents)


def _without_claim(device_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration without how a device provisions itself, for one whose key is made here."""
    agent = {key: value for key, value in device_config.get("agent", {}).items() if key != "provisioning"}
    return {**device_config, "agent": agent}


def _fill_in(device_config: Mapping[str, Any], endpoint: str, **more: Any) -> bytes:
    """Return the configuration of one thing, or of the claim, with `more` in `agent` and paths relative to it."""
    agent = device_config.get("agent", {})
    identity = {"endpoint": endpoint, "certificate": CERTIFICATE, "private_key": PRIVATE_KEY, "root_ca": ROOTS}
    authentication = {**agent.get("authentication", {}), **identity}
    config = {key: value for key, value in device_config.items() if key != "$schema"}
    config["agent"] = {**agent, **more, "authentication": authentication}
    return (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()


def _write(path: Path, contents: Mapping[str, bytes]) -> Path | None:
    """Write a bundle, and return where; None if it is there like that."""
    bundle = _pack(contents)
    if bundle == read_file(path):
        return None
    write_file(path, bundle)
    return path


def _read(path: Path) -> bytes:
    content = read_file(path)
    if content is None:
        raise DeployError(f"there is no {path}, and so no bundle")
    return content


def _read_roots(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DeployError(f"{path} cannot be read: {error.strerror}") from error


def _pack(contents: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(content), _MODES.get(name, 0o644), _LONG_AGO
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()

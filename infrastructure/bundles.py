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
from infrastructure.private_file import read_file, write_file

CONFIG = "amazon-defender-publisher.json"
CERTIFICATE, PRIVATE_KEY, ROOTS = "certificate.pem", "private.key", "roots.pem"
_MODES = {PRIVATE_KEY: 0o600}  # and 0644 for the rest
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
    path = store.directory / f"{thing}.tar"
    with store.locked(thing):
        contents = {
            CONFIG: _fill_in(device_config, thing, endpoint),
            CERTIFICATE: _read(store.certificate(thing)),
            PRIVATE_KEY: _read(store.private_key(thing)),
            ROOTS: _read_roots(roots),
        }
        bundle = _pack(contents)
        if bundle == read_file(path):
            return None
        write_file(path, bundle)
    return path


def _fill_in(device_config: Mapping[str, Any], thing: str, endpoint: str) -> bytes:
    """Return the configuration of one thing, with paths relative to it."""
    agent = device_config.get("agent", {})
    identity = {"endpoint": endpoint, "certificate": CERTIFICATE, "private_key": PRIVATE_KEY, "root_ca": ROOTS}
    authentication = {**agent.get("authentication", {}), **identity}
    config = {key: value for key, value in device_config.items() if key != "$schema"}
    config["agent"] = {**agent, "thing_name": thing, "authentication": authentication}
    return (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()


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

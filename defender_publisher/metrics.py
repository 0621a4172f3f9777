"""The custom metrics that need no command: the built-ins, and those that installed packages add.

A package adds one with an entry point of the group `defender_publisher.metrics`, named as the metric, which leads to a
`Metric` of its own. It is loaded only for a configuration that names it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import NamedTuple

from defender_daemon import extensions
from defender_daemon.extensions import ExtensionError
from defender_publisher.collectors.value import Value
from device_defender.metrics import BUILT_INS, TYPES, BuiltIn

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


def find(name: str) -> Metric | None:
    """Return the metric of a name, None if neither the publisher nor a package has one; raises ExtensionError."""
    built_in = BUILT_INS.get(name)
    if built_in is not None:
        return Metric(built_in.type, built_in.description, partial(_start, built_in))
    point = extensions.find(GROUP, name, f"have a metric {name}")
    if point is None:
        return None
    metric = extensions.load(point)
    if not isinstance(metric, Metric) or metric.type not in TYPES:
        got = f"the type {metric.type!r}" if isinstance(metric, Metric) else f"an object of {type(metric).__name__}"
        raise ExtensionError(
            f"{extensions.shown(point)} must be a Metric of a type among {', '.join(TYPES)}, got {got}"
        )
    return metric


def names() -> list[str]:
    """Return the names of all metrics that there are."""
    return [*BUILT_INS, *(point.name for point in extensions.points_of(GROUP))]


def _start(built_in: BuiltIn, where: Where) -> Measure:
    """Return what measures a built-in; its module is loaded now, since most need psutil: 9 ms and 1.3 MB."""
    module, _, name = built_in.collector.partition(":")
    collector = getattr(import_module(f"{COLLECTORS}.{module}"), name)
    given = [getattr(where, built_in.given)] if built_in.given else []
    measure: Measure = collector(*given) if isinstance(collector, type) else partial(collector, *given)
    return measure

"""The built-in custom metrics of `device_defender.metrics`: how each is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

from defender_publisher.collectors.value import Value

Measure = Callable[[], Value]  # returns the value now; raises CollectError, OSError or psutil.Error


class Where(NamedTuple):
    """Where to measure: a path on the disk in question, and the /proc of the machine in question."""

    path: str = "/"
    procfs_path: str = "/proc"


Start = Callable[[Where], Measure]  # returns what measures, ready for the first look


def _load(module: str, measure: str) -> Any:
    """Return what measures; its module is loaded now, since most need psutil, which costs 9 ms and 1.3 MB to load."""
    return getattr(import_module(f"defender_publisher.collectors.{module}"), measure)


def _of_procfs(module: str, measure: str) -> Start:
    return lambda where: partial(_load(module, measure), where.procfs_path)


def _of_path(module: str, measure: str) -> Start:
    return lambda where: partial(_load(module, measure), where.path)


def _as_it_is(module: str, measure: str) -> Start:
    return lambda where: _load(module, measure)


STARTS: Mapping[str, Start] = MappingProxyType(
    {
        "cpu_usage": lambda where: _load("cpu", "CpuUsage")(where.procfs_path),
        "memory_usage": _of_procfs("machine", "memory_usage"),
        "swap_usage": _of_procfs("machine", "swap_usage"),
        "disk_usage": _of_path("machine", "disk_usage"),
        "load_average": _as_it_is("machine", "load_average"),
        "cpu_temperature": _as_it_is("temperature", "cpu_temperature"),
        "process_count": _of_procfs("processes", "process_count"),
        "process_names": _of_procfs("processes", "process_names"),
        "logged_in_users": _as_it_is("machine", "logged_in_users"),
        "uptime": _of_procfs("machine", "uptime"),
        "interface_addresses": _of_procfs("interfaces", "interface_addresses"),
        "open_file_count": _of_procfs("machine", "open_file_count"),
    }
)

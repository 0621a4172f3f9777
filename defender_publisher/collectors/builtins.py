"""The built-in custom metrics: what each is called, what it is, and how it is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

from defender_publisher.collectors.value import Value
from defender_publisher.config import MetricType

Measure = Callable[[], Value]  # returns the value now; raises CollectError, OSError or psutil.Error


class Where(NamedTuple):
    """Where to measure: a path on the disk in question, and the /proc of the machine in question."""

    path: str = "/"
    procfs_path: str = "/proc"


class BuiltIn(NamedTuple):
    """A built-in metric; `start(where)` returns what measures it, ready for the first look."""

    type: MetricType
    description: str
    start: Callable[[Where], Measure]


def _load(module: str, measure: str) -> Any:
    """Return what measures; its module is loaded now, since most need psutil, which costs 9 ms and 1.3 MB to load."""
    return getattr(import_module(f"defender_publisher.collectors.{module}"), measure)


def _of_procfs(module: str, measure: str) -> Callable[[Where], Measure]:
    return lambda where: partial(_load(module, measure), where.procfs_path)


def _of_path(module: str, measure: str) -> Callable[[Where], Measure]:
    return lambda where: partial(_load(module, measure), where.path)


def _as_it_is(module: str, measure: str) -> Callable[[Where], Measure]:
    return lambda where: _load(module, measure)


BUILT_INS: Mapping[str, BuiltIn] = MappingProxyType(
    {
        "cpu_usage": BuiltIn(
            "number",
            "How busy the processors were since the last look, in percent of all of them (0 to 100).",
            lambda where: _load("cpu", "CpuUsage")(where.procfs_path),
        ),
        "memory_usage": BuiltIn(
            "number", "Memory that is not available to programs, in percent.", _of_procfs("machine", "memory_usage")
        ),
        "swap_usage": BuiltIn(
            "number", "Swap space used, in percent; left out on a machine without.", _of_procfs("machine", "swap_usage")
        ),
        "disk_usage": BuiltIn(
            "number",
            "Used space of the disk that holds `path`, in percent.",
            _of_path("machine", "disk_usage"),
        ),
        "load_average": BuiltIn(
            "number-list", "The load over 1, 5 and 15 minutes.", _as_it_is("machine", "load_average")
        ),
        "cpu_temperature": BuiltIn(
            "number", "The hottest processor sensor, in degrees Celsius.", _as_it_is("temperature", "cpu_temperature")
        ),
        "process_count": BuiltIn(
            "number",
            "How many processes there are, with the kernel's threads.",
            _of_procfs("processes", "process_count"),
        ),
        "process_names": BuiltIn(
            "string-list",
            "The running programs, without the kernel's threads.",
            _of_procfs("processes", "process_names"),
        ),
        "logged_in_users": BuiltIn(
            "string-list", "The users who are logged in.", _as_it_is("machine", "logged_in_users")
        ),
        "uptime": BuiltIn("number", "Whole seconds since boot.", _of_procfs("machine", "uptime")),
        "interface_addresses": BuiltIn(
            "ip-address-list",
            "The addresses of all interfaces but the loopback.",
            _of_procfs("interfaces", "interface_addresses"),
        ),
        "open_file_count": BuiltIn(
            "number", "How many files are open in the whole system (Linux).", _of_procfs("machine", "open_file_count")
        ),
    }
)

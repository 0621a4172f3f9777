"""Metrics: what CloudWatch is told of this machine, by the CloudWatch publisher's names or the CloudWatch agent's."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from defender_cloudwatch.here import this_machine
from defender_cloudwatch.machine import Counters, Machine

MOST_A_CALL = 1_000  # metrics of PutMetricData; 15 here


class Metric(NamedTuple):
    """A metric: the publisher's name, the agent's name, and its unit; those of DISK and NETWORK are rates a second."""

    publisher: str
    agent: str
    unit: str


CPU, CORES = Metric("CPUUtilization", "cpu_usage_active", "Percent"), Metric("CPUCount", "cpu_count", "Count")
MEMORY = (
    Metric("MemoryUtilization", "mem_used_percent", "Percent"),
    Metric("MemoryUsed", "mem_used", "Bytes"),
    Metric("MemoryAvailable", "mem_available", "Bytes"),
)
DISK = (
    Metric("DiskReadBytes", "diskio_read_bytes", "Bytes"),
    Metric("DiskWriteBytes", "diskio_write_bytes", "Bytes"),
    Metric("DiskReadOps", "diskio_reads", "Count"),
    Metric("DiskWriteOps", "diskio_writes", "Count"),
)
NETWORK = (
    Metric("NetworkIn", "net_bytes_recv", "Bytes"),
    Metric("NetworkOut", "net_bytes_sent", "Bytes"),
    Metric("NetworkPacketsIn", "net_packets_recv", "Count"),
    Metric("NetworkPacketsOut", "net_packets_sent", "Count"),
)
DISK_USED = Metric("DiskUtilization", "disk_used_percent", "Percent")
SWAP_USED = Metric("SwapUtilization", "swap_used_percent", "Percent")
ALL = (CPU, CORES, *MEMORY, *DISK, *NETWORK, DISK_USED, SWAP_USED)


class Look(NamedTuple):
    """The counters at a moment."""

    time: float
    disks: Counters
    interfaces: Counters


class Gauge:
    """Measures the machine; rates are those since the last measurement, and so the first has none."""

    def __init__(self, machine: Machine | None = None) -> None:
        self._machine = machine = machine or this_machine()
        self._last = self._look()
        _measured(machine.cpu)  # its first answer is for nothing

    def measure(self) -> Iterator[tuple[Metric, float]]:
        """Yield every metric that can be measured now; what cannot is left out, and never a zero."""
        yield from self._levels()
        before, self._last = self._last, self._look()
        seconds = self._last.time - before.time
        if seconds > 0:
            yield from _finite(zip(DISK, _rates(before.disks, self._last.disks, seconds)))
            yield from _finite(zip(NETWORK, _rates(before.interfaces, self._last.interfaces, seconds)))

    def _levels(self) -> Iterator[tuple[Metric, float]]:
        machine = self._machine
        memory, swap = _measured(machine.memory), _measured(machine.swap)
        disk = _measured(lambda: machine.disk_usage("/"))
        levels: list[tuple[Metric, Any]] = [
            (CPU, _measured(machine.cpu)),
            (CORES, _measured(machine.cores)),
            *zip(MEMORY, (memory.percent, memory.used, memory.available) if memory else ()),
            (DISK_USED, disk.percent if disk else None),
            (SWAP_USED, swap.percent if swap and swap.total else None),
        ]
        yield from _finite((metric, float(value)) for metric, value in levels if value is not None)

    def _look(self) -> Look:
        machine = self._machine
        return Look(machine.clock(), _measured(machine.disks) or {}, _measured(machine.interfaces) or {})


def as_data(
    measured: Sequence[tuple[Metric, float]], names: str, dimensions: Mapping[str, str], now: float
) -> list[dict[str, Any]]:
    """Return measurements as PutMetricData takes them; `now` is in seconds since the epoch."""
    pairs = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    return [
        {
            "MetricName": metric.agent if names == "agent" else metric.publisher,
            "Value": value,
            "Unit": metric.unit,
            "Timestamp": round(now, 3),
            "Dimensions": pairs,
        }
        for metric, value in measured
    ]


def dimensions_of(names: Sequence[str], instance_id: str) -> dict[str, str]:
    """Return the dimensions that a configuration names."""
    known = {"InstanceId": instance_id, "Hostname": socket.gethostname()}
    return {name: known[name] for name in names}


def _rates(before: Counters, now: Counters, seconds: float) -> Iterator[float]:
    """Yield the sums per second over what was there both times; a counter that shrank began again from zero."""
    grown = [_growth(before[name], now[name]) for name in now if name in before]
    if grown:
        yield from (sum(column) / seconds for column in zip(*grown))


def _growth(before: tuple[float, ...], now: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(later - earlier if later >= earlier else later for earlier, later in zip(before, now))


def _finite(measured: Iterable[tuple[Metric, float]]) -> Iterator[tuple[Metric, float]]:
    """Leave out what CloudWatch refuses, and a whole call with it: NaN and infinity."""
    return ((metric, value) for metric, value in measured if math.isfinite(value))


def _measured(measure: Callable[[], Any]) -> Any:
    try:
        return measure()
    except Exception:  # noqa: BLE001 - whatever keeps one number from being measured, it costs that number
        return None

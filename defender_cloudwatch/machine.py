"""The machine: where the numbers come from that become metrics, and which disks and interfaces count."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

LOOPBACK = re.compile(r"lo\d*")  # Linux's and macOS's, whose traffic leaves the machine nowhere
PARTITION = re.compile(r"(.*\d)p\d+|(.*\D)\d+")  # of the disk that the name begins with

Counters = Mapping[str, tuple[float, ...]]  # of each disk or interface, in the order of the metrics


class Level(NamedTuple):
    """How much of something is used, in bytes."""

    used: float
    available: float
    total: float

    @property
    def percent(self) -> float:
        """How much of it that is, to a tenth; not a number where there is none of it."""
        return round(100.0 * self.used / self.total, 1) if self.total else math.nan


def usage(path: str) -> Level:
    """Return how full a file system is for whoever is not root, as df shows it."""
    found = os.statvfs(path)
    used, available = (found.f_blocks - found.f_bfree) * found.f_frsize, found.f_bavail * found.f_frsize
    return Level(used, available, used + available)


class Machine(NamedTuple):
    """What measures; each raises where it cannot. Of disks and interfaces those are given that count."""

    cpu: Callable[[], float]
    memory: Callable[[], Level]
    swap: Callable[[], Level]
    disks: Callable[[], Counters]
    interfaces: Callable[[], Counters]
    disk_usage: Callable[[str], Level] = usage
    cores: Callable[[], int | None] = os.cpu_count
    clock: Callable[[], float] = time.monotonic


def whole_disks(names: Iterable[str]) -> Iterator[str]:
    """Yield the names of disks without those of their partitions, whose traffic they count too."""
    known = set(names)
    return (name for name in names if _disk_of(name) not in known)


def counting_interfaces(names: Iterable[str]) -> Iterator[str]:
    """Yield the names of interfaces without the loopback."""
    return (name for name in names if not LOOPBACK.fullmatch(name))


def _disk_of(name: str) -> str:
    """Return the disk that a name such as sda1 or nvme0n1p2 would be a partition of."""
    found = PARTITION.fullmatch(name)
    return (found[1] or found[2]) if found else ""

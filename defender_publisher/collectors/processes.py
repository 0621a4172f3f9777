"""The processes that are running."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psutil

from defender_daemon.text import name_of
from defender_publisher.collectors.host import psutil_reading
from defender_publisher.errors import CollectError


def process_count(procfs_path: str = "/proc") -> int:
    """Return how many processes there are, the kernel's threads among them, as top(1) counts."""
    with _seen_in(procfs_path):
        return len(psutil.pids())


def process_names(procfs_path: str = "/proc") -> list[str]:
    """Return the names of the programs that are running, each once, sorted; without the kernel's threads."""
    with _seen_in(procfs_path):
        return names_of(process.info for process in psutil.process_iter(["name", "memory_info"]))


def names_of(processes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of processes that psutil described, each once, sorted.

    Kernel threads come and go by the second under names such as `kworker/1:2-events`, which would make the list
    useless to a behavior. They, and zombies, are what has no memory; a program that takes such a name is listed.
    """
    return sorted({name_of(process["name"]) for process in processes if process["name"] and _has_memory(process)})


@contextmanager
def _seen_in(procfs_path: str) -> Iterator[None]:
    try:
        with psutil_reading(procfs_path):
            yield
    except IndexError as error:  # psutil takes it for granted that there is a process
        raise CollectError(f"no process can be seen in {procfs_path}") from error


def _has_memory(process: Mapping[str, Any]) -> bool:
    memory = process["memory_info"]
    return memory is None or memory.vms > 0  # None: psutil may not look (macOS), so it may well have memory

"""The host as psutil sees it, through the host's /proc where the agent runs in a container."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from defender_publisher.collectors.procfs import is_own
from defender_publisher.errors import CollectError

READ_WHOLE = ("stat", "meminfo", "vmstat", "uptime")  # what psutil reads of the machine as a whole


@contextmanager
def psutil_reading(procfs_path: str) -> Iterator[None]:
    """Let psutil read another /proc for a while.

    This reaches processor times, memory, swap, the boot time and the list of processes. It does not reach what psutil
    asks the kernel or other files for: interface addresses, users (utmp), disks, and sensors (/sys).

    Raises CollectError where something is in the place of a file, as a FIFO, for which psutil would wait.
    """
    if is_own(procfs_path):  # also on systems without /proc, where psutil has no such setting
        yield
        return
    for name in READ_WHOLE:
        path = os.path.join(procfs_path, name)
        if os.path.exists(path) and not os.path.isfile(path):
            raise CollectError(f"cannot read {path}: Not a regular file")
    before, psutil.PROCFS_PATH = psutil.PROCFS_PATH, procfs_path
    try:
        yield
    finally:
        psutil.PROCFS_PATH = before

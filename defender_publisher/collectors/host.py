"""The host as psutil sees it, through the host's /proc where the agent runs in a container."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from defender_publisher.collectors.procfs import is_own


@contextmanager
def psutil_reading(procfs_path: str) -> Iterator[None]:
    """Let psutil read another /proc for a while.

    This reaches processor times, memory, swap, the boot time and the list of processes. It does not reach what psutil
    asks the kernel or other files for: interface addresses, users (utmp), disks, and sensors (/sys).
    """
    if is_own(procfs_path):  # also on systems without /proc, where psutil has no such setting
        yield
        return
    before, psutil.PROCFS_PATH = psutil.PROCFS_PATH, procfs_path
    try:
        yield
    finally:
        psutil.PROCFS_PATH = before

"""The boot id: the same as long as the kernel's counters keep counting, and another one after a reboot."""

from __future__ import annotations

import os

from defender_publisher.collectors.procfs import read_file
from defender_publisher.errors import CollectError

BOOT_TIME_STEP = 60  # seconds; where the boot time is computed from the clock it wavers with it


def boot_id(procfs_path: str = "/proc") -> str | None:
    """Return what identifies this boot of the machine, or None if that is unknown.

    Linux makes a UUID at boot (random(4)), the same in every container. Elsewhere it is the minute of the boot.
    """
    path = os.path.join(procfs_path, "sys", "kernel", "random", "boot_id")
    return _first_line(path) or _boot_minute(procfs_path)


def _first_line(path: str) -> str | None:
    try:
        lines = read_file(path).decode().splitlines()
    except (CollectError, UnicodeDecodeError):
        return None
    return lines[0].strip() or None if lines else None


def _boot_minute(procfs_path: str) -> str | None:
    import psutil  # here, because Linux does without it, and it costs start-up time and memory

    from defender_publisher.collectors.host import psutil_reading

    try:
        with psutil_reading(procfs_path):
            return f"booted-{round(psutil.boot_time() / BOOT_TIME_STEP) * BOOT_TIME_STEP}"
    except (
        OSError,
        psutil.Error,
        RuntimeError,
        ValueError,
        CollectError,
    ):  # psutil: RuntimeError if /proc/stat has no btime
        return None

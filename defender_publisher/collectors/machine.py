"""The machine as a whole: its memory, disks, load, uptime, open files and users."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import psutil

from defender_daemon.text import name_of
from defender_publisher.collectors.host import psutil_reading
from defender_publisher.collectors.procfs import read_file
from defender_publisher.errors import CollectError

LOGIN_RECORDS = ("/run/utmp", "/var/run/utmp")  # where Linux notes who is logged in (utmp(5))


def memory_usage(procfs_path: str = "/proc") -> float:
    """Return how much of the memory is not available to programs, in percent."""
    with psutil_reading(procfs_path):
        return psutil.virtual_memory().percent


def swap_usage(procfs_path: str = "/proc") -> float:
    """Return how much of the swap space is used, in percent; raises CollectError on a machine that has none."""
    with psutil_reading(procfs_path):
        swap = psutil.swap_memory()
    if not swap.total:
        raise CollectError("this machine has no swap space")
    return swap.percent


def disk_usage(path: str) -> float:
    """Return how much of the disk that holds `path` is used, in percent of what users may fill, as df(1) has it."""
    return psutil.disk_usage(path).percent


def load_average() -> list[float]:
    """Return how many processes were running or waiting to run, on average over 1, 5 and 15 minutes."""
    return [round(load, 2) for load in psutil.getloadavg()]


def uptime(procfs_path: str = "/proc") -> int:
    """Return the whole seconds since boot."""
    path = os.path.join(procfs_path, "uptime")
    if os.path.exists(path):  # on Linux; better than the boot time, because setting the clock does not change it
        return int(_first_number(path))
    with psutil_reading(procfs_path):
        return int(time.time() - psutil.boot_time())


def open_file_count(procfs_path: str = "/proc") -> int:
    """Return how many files the whole system has open (file-nr in proc(5)); raises CollectError where nobody counts."""
    path = os.path.join(procfs_path, "sys", "fs", "file-nr")
    if not os.path.exists(path):
        raise CollectError("this system does not say how many files are open")
    return int(_first_number(path))


def logged_in_users(login_records: Sequence[str] = LOGIN_RECORDS) -> list[str]:
    """Return the names of the users who are logged in, each once, sorted.

    Raises CollectError on a Linux without login records, as in most containers and with recent systemd: psutil would
    find nobody there, whoever is logged in.
    """
    if psutil.LINUX and not any(map(os.path.exists, login_records)):
        raise CollectError(f"this system keeps no record of logins (no {login_records[0]})")
    return sorted({name_of(user.name) for user in psutil.users()})


def _first_number(path: str) -> float:
    try:
        return float(read_file(path).split()[0])
    except (ValueError, IndexError) as error:
        raise CollectError(f"{path} holds no number") from error

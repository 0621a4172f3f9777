"""The processors' usage between two looks."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from defender_publisher.collectors.attempt import attempt
from defender_publisher.collectors.procfs import read_file
from defender_publisher.errors import CollectError

FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")  # proc(5)

IDLE = {"idle", "iowait"}  # a processor that waits for a disk can do other work
COUNTED_TWICE = {"guest", "guest_nice"}  # Linux counts virtual machines' time in user and nice, too (proc(5))


class CpuUsage:
    """Measures how busy the processors were since the last time it was asked, or since it was made."""

    def __init__(self, procfs_path: str = "/proc") -> None:
        self._procfs_path = procfs_path
        self._last = attempt("the first cpu_usage", self._read)

    def __call__(self) -> float:
        """Return the percentage, 0 to 100 for all processors together; raises CollectError if no time has passed."""
        last, self._last = self._last, self._read()
        if last is None:
            raise CollectError("there is no earlier reading to compare with")
        return busy_percentage(last, self._last)

    def _read(self) -> dict[str, float]:
        if sys.platform == "linux":
            table = read_file(os.path.join(self._procfs_path, "stat"))
            return parse_times(table.partition(b"\n")[0].decode(errors="replace"))
        import psutil  # here, because Linux does without, and it takes a megabyte

        return dict(psutil.cpu_times()._asdict())


def parse_times(line: str) -> dict[str, float]:
    """Read the first line of /proc/stat, the times of all processors together, in ticks."""
    label, *ticks = line.split()
    if label != "cpu":
        raise CollectError(f"/proc/stat must begin with the processors' times, but it begins with {label!r}")
    return dict(zip(FIELDS, map(float, ticks)))


def busy_percentage(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Return the share of processor time that was not idle between two readings, in percent.

    A time that went backwards counts as none: iowait does so now and then (proc(5)).
    """
    spent = {name: max(0.0, after[name] - before[name]) for name in after if name not in COUNTED_TWICE}
    total = sum(spent.values())
    if total <= 0:
        raise CollectError("no processor time has passed since the last reading")
    return round(100 * sum(spent[name] for name in spent if name not in IDLE) / total, 2)

"""Linux's numbers, from /proc.

https://docs.kernel.org/filesystems/proc.html and https://docs.kernel.org/admin-guide/iostats.html have the fields.
"""

from __future__ import annotations

from pathlib import Path

from defender_cloudwatch.machine import Counters, Level, Machine, counting_interfaces, whole_disks

SECTOR = 512  # bytes in /proc/diskstats, whatever the disk's own are
TIMES = 8  # of the first line of /proc/stat: user nice system idle iowait irq softirq steal; guests' are in user's
IDLE = slice(3, 5)  # idle and iowait


def machine(proc: str = "/proc") -> Machine:
    """Return what measures a machine by its /proc."""
    root = Path(proc)
    return Machine(
        cpu=Cpu(root).percent,
        memory=lambda: memory(root),
        swap=lambda: swap(root),
        disks=lambda: disks(root),
        interfaces=lambda: interfaces(root),
    )


class Cpu:
    """How busy all cores are together, since the last look."""

    def __init__(self, root: Path) -> None:
        self._path = root / "stat"
        self._last = (0.0, 0.0)

    def percent(self) -> float:
        """Return it, to a tenth; raises ZeroDivisionError where no time has gone by."""
        fields = self._path.read_text("ascii").split("\n", 1)[0].split()[1 : TIMES + 1]
        times = [float(each) for each in fields]
        before, self._last = self._last, (sum(times), sum(times[IDLE]))
        total, idle = (now - then for now, then in zip(self._last, before))
        return round(min(max(100.0 * (total - idle) / total, 0.0), 100.0), 1)


def memory(root: Path) -> Level:
    """Return how much memory is used that cannot be had at once."""
    found = _kilobytes(root)
    total, available = found["MemTotal"], found["MemAvailable"]
    return Level(total - available, available, total)


def swap(root: Path) -> Level:
    """Return how much swap is used."""
    found = _kilobytes(root)
    return Level(found["SwapTotal"] - found["SwapFree"], found["SwapFree"], found["SwapTotal"])


def disks(root: Path) -> Counters:
    """Return bytes read and written, and how many times, of each disk."""
    rows = {row[2]: row for row in map(str.split, (root / "diskstats").read_text().splitlines())}
    numbers = {name: tuple(float(row[column]) for column in (5, 9, 3, 7)) for name, row in rows.items()}
    return {
        name: (SECTOR * numbers[name][0], SECTOR * numbers[name][1], *numbers[name][2:]) for name in whole_disks(rows)
    }


def interfaces(root: Path) -> Counters:
    """Return bytes and packets received and sent, of each interface."""
    rows = {}
    for line in (root / "net" / "dev").read_text(errors="surrogateescape").splitlines()[2:]:
        name, _, numbers = line.rpartition(":")
        rows[name.strip()] = numbers.split()
    return {name: tuple(float(rows[name][column]) for column in (0, 8, 1, 9)) for name in counting_interfaces(rows)}


def _kilobytes(root: Path) -> dict[str, int]:
    """Return /proc/meminfo in bytes."""
    rows = (line.partition(":") for line in (root / "meminfo").read_text().splitlines())
    return {name: 1024 * int(rest.split()[0]) for name, _, rest in rows if rest.split()}

"""Linux's numbers are read from /proc as psutil reads them; what is not there is no zero."""

from __future__ import annotations

from pathlib import Path

import pytest

from defender_cloudwatch import procfs

STAT = "cpu  {0} 0 100 {1} 50 0 0 0 7 0\ncpu0 1 2 3\nbtime 1\n"
MEMINFO = (
    "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 400 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nHugePages_Total: 0\n"
)
DISKSTATS = """\
   8       0 sda 10 1 200 5 20 2 400 7 0 9 12 0 0 0 0 3 4
   8       1 sda1 9 1 190 5 19 2 390 7 0 9 12 0 0 0 0 3 4
 179       0 mmcblk0 1 0 8 0 2 0 16 0 0 0 0
"""
NET_DEV = """\
Inter-|   Receive        |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo:  111       1    0    0    0     0          0         0      111       1    0    0    0     0       0       0
  eth0: 5000      50    0    0    0     0          0         0     6000      60    0    0    0     0       0       0
eth0:1: 7         1     0    0    0     0          0         0     8         2    0    0    0     0       0       0
"""


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "stat").write_text(STAT.format(100, 750))
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "diskstats").write_text(DISKSTATS)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "dev").write_text(NET_DEV)
    return tmp_path


def test_cpu_is_what_was_busy_since_the_last_look(proc: Path) -> None:
    cpu = procfs.machine(str(proc)).cpu
    assert 20.0 == cpu()
    (proc / "stat").write_text(STAT.format(130, 820))
    assert 30.0 == cpu()
    with pytest.raises(ZeroDivisionError):
        cpu()


def test_memory_and_swap_are_levels(proc: Path) -> None:
    assert (600 * 1024, 400 * 1024, 60.0) == (*procfs.memory(proc)[:2], procfs.memory(proc).percent)
    assert 0 == procfs.swap(proc).total


def test_disks_are_counted_in_bytes_without_their_partitions(proc: Path) -> None:
    assert {"sda": (102_400, 204_800, 10, 20), "mmcblk0": (4_096, 8_192, 1, 2)} == procfs.disks(proc)


def test_interfaces_are_counted_without_the_loopback(proc: Path) -> None:
    assert {"eth0": (5000, 6000, 50, 60), "eth0:1": (7, 8, 1, 2)} == procfs.interfaces(proc)


def test_what_is_not_there_is_said(proc: Path) -> None:
    (proc / "meminfo").write_text("MemTotal: 1000 kB\n")
    with pytest.raises(KeyError):
        procfs.memory(proc)
    with pytest.raises(OSError, match="No such file"):
        procfs.disks(proc / "nowhere")

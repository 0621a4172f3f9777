"""A worker: makes up to ten reports in its peer's way for each line it reads, and prints what one of them cost.

Each line of output holds the CPU seconds, the bytes of the report, how many connections it counted, and the peak
resident memory so far in KiB.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # each peer loads only what is its own
    from defender_publisher.collectors.table import Reader

Report = Callable[[], tuple[int, int]]  # returns the bytes of the report and how many connections it counted


REPORTS = 10  # in a turn at most, to even out what the processor's caches hold by chance
ENOUGH = 0.05  # CPU seconds after which a turn has no further report
LONGEST_LIST = 50  # entries; AWS's agent samples longer lists, and cannot be told otherwise on its command line


def main(peer: str) -> None:
    """Make reports until the end of the input."""
    report = PEERS[peer]()
    for _ in sys.stdin:
        began, reports, took = time.process_time(), 0, 0.0
        while reports < REPORTS and took < ENOUGH:
            size, total = report()
            reports, took = reports + 1, time.process_time() - began
        print(f"{took / reports:.9f} {size} {total} {peak_kib()}", flush=True)


def peak_kib() -> int:
    """Return the peak resident memory; getrusage would count what the parent had between fork and exec."""
    match = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1])


def ours(reader_of: Callable[[], Reader] | None = None, longest_list: int | None = LONGEST_LIST) -> Report:
    """This project's report as the daemon makes it; with another reader of the socket table for comparison."""
    from defender_daemon.collected import Metrics
    from defender_daemon.config import Config
    from defender_publisher.collectors.sockets import SocketCollector
    from defender_publisher.device import SOCKET_BLOCKS, ThisDevice
    from defender_publisher.encoding import encode_within
    from defender_publisher.report import build_report
    from defender_publisher.state import Baseline

    config = Config(metrics=Metrics(max_list_size=longest_list))
    device = ThisDevice(config)
    if reader_of is not None:
        device._sockets = SocketCollector(SOCKET_BLOCKS, most_connections=longest_list, reader=reader_of())
    first = device.snapshot(device.look())
    baseline = Baseline(first.taken_at, first.boot_id, dict(first.interfaces or {}))

    def report() -> tuple[int, int]:
        content = build_report(int(time.time()), device.snapshot(device.look()), baseline, config.metrics)
        payload = encode_within(content, "json", short_names=False)
        return len(payload), content["metrics"]["tcp_connections"]["established_connections"]["total"]

    return report


def filled() -> Report:
    """This project's report as it is without `max_list_size`: as many entries as fit into 128 KB."""
    return ours(longest_list=None)


def by_proc() -> Report:
    """This project's report from /proc/net, as on a kernel without netlink diagnostics."""
    from defender_publisher.collectors import procfs

    return ours(lambda: partial(procfs.read_rows, procfs_path="/proc"))


def by_psutil() -> Report:
    """This project's report with psutil's list of sockets, as where there is no /proc."""
    from defender_publisher.collectors import psutil_sockets

    return ours(lambda: psutil_sockets.read_rows)


def reference() -> Report:
    """The report of AWS's Device Defender agent for Python."""
    from AWSIoTDeviceDefenderAgentSDK.collector import Collector

    collector = Collector(short_metrics_names=False, use_custom_metrics=False)

    def report() -> tuple[int, int]:
        metrics = collector.collect_metrics()
        return len(metrics.to_json_string()), len(metrics.network_connections)

    return report


PEERS = {"netlink": ours, "filled": filled, "proc": by_proc, "psutil": by_psutil, "reference": reference}

if __name__ == "__main__":
    main(sys.argv[1])

"""A worker: makes one report in its peer's way for each line it reads, and prints what that cost.

Each line of output holds the CPU seconds, the bytes of the report, how many connections it counted, and the peak
resident memory so far in KiB.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from functools import partial

Report = Callable[[], tuple[int, int]]  # returns the bytes of the report and how many connections it counted


LONGEST_LIST = 50  # entries; AWS's agent samples longer lists, and cannot be told otherwise on its command line


def main(peer: str) -> None:
    """Make reports until the end of the input."""
    report = PEERS[peer]()
    for _ in sys.stdin:
        began = time.process_time()
        size, total = report()
        took = time.process_time() - began
        print(f"{took:.9f} {size} {total} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}", flush=True)


def ours(reader_of: Callable[[], object] | None = None, longest_list: int | None = LONGEST_LIST) -> Report:
    """This project's report as the daemon makes it; with another reader of the socket table for comparison."""
    from defender_publisher.collectors.sockets import SocketCollector
    from defender_publisher.config import Config, Metrics
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

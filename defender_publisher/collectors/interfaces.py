"""Network interfaces: the addresses they have, and the traffic they have counted since boot."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from ipaddress import ip_address

from defender_publisher.collectors import procfs
from defender_publisher.collectors.names import interface_names
from defender_publisher.errors import CollectError
from defender_publisher.snapshot import Counters
from defender_publisher.text import name_of

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound to
BYTES_IN, PACKETS_IN, BYTES_OUT, PACKETS_OUT = 0, 1, 8, 9  # columns of /proc/net/dev, after the name (proc(5))

logger = logging.getLogger("defender_publisher")


def interface_of(local_ip: str, names: Mapping[str, str], bound_to: str = "") -> str:
    """Return the interface a socket is bound to: its name, "0.0.0.0" or "::" for all of them, "" when unknown.

    What it is bound to by name wins over what its address tells. The wildcards are written as the first AWS agent
    writes them. Only 127.0.0.1 of 127.0.0.0/8 is in the table.
    """
    if bound_to:
        return bound_to
    if local_ip in WILDCARDS:
        return local_ip
    return names.get("127.0.0.1" if local_ip.startswith("127.") else local_ip, "")


def interface_addresses(procfs_path: str = "/proc") -> list[str]:
    """Return the addresses this machine has, each once, sorted as text, without loopback ones and without zones."""
    return sorted(address for address in interface_names(procfs_path) if not ip_address(address).is_loopback)


def collect_counters(procfs_path: str = "/proc") -> dict[str, Counters]:
    """Return what each interface has counted since boot, in bytes and packets; raises CollectError.

    Linux: net/dev of this network namespace, or of the host's where `procfs_path` is not /proc. Elsewhere: psutil,
    without its hiding of counters that wrapped, since growth is measured against a saved snapshot and not in memory.
    """
    if procfs.has_tables(procfs_path):
        path = os.path.join(procfs.net_directory(procfs_path), "dev")
        counters = parse_counters(procfs.read_text(path))
    else:
        counters = _psutil_counters()
    if not counters:
        raise CollectError("no network interface has counters")
    return counters


def parse_counters(table: str) -> dict[str, Counters]:
    """Return the counters in a /proc/net/dev; a line that is no interface is skipped.

    The name ends at the last colon: old aliases have one themselves (`eth0:1`), and there may be no blank after it.
    """
    counters = {}
    for line in table.rstrip("\n").split("\n")[2:]:
        name, _, columns = line.rpartition(":")
        try:
            counters[name.strip()] = _counters([int(column) for column in columns.split()])
        except (ValueError, IndexError):
            logger.debug("skipped a line that is no interface: %r", line)
    return counters


def _counters(columns: list[int]) -> Counters:
    return Counters(columns[BYTES_IN], columns[BYTES_OUT], columns[PACKETS_IN], columns[PACKETS_OUT])


def _psutil_counters() -> dict[str, Counters]:
    import psutil  # here, because Linux does without it, and it costs start-up time and memory

    try:
        interfaces = psutil.net_io_counters(pernic=True, nowrap=False)
    except (psutil.Error, OSError) as error:
        raise CollectError(f"psutil cannot read the interfaces' counters: {error}") from error
    return {
        name_of(name): Counters(seen.bytes_recv, seen.bytes_sent, seen.packets_recv, seen.packets_sent)
        for name, seen in interfaces.items()
    }

"""The traffic: what each network interface has counted since boot, and what the kernel knows the interface by."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator

from defender_daemon.text import name_of
from defender_publisher.collectors import netlink, procfs, rtnetlink
from defender_publisher.errors import CollectError
from defender_publisher.snapshot import Counters, Interface

BYTES_IN, PACKETS_IN, BYTES_OUT, PACKETS_OUT = 0, 1, 8, 9  # columns of /proc/net/dev, after the name (proc(5))
# Where a host's /proc tells the indexes of interfaces, which `dev` does not: of those with IPv4 and IPv6, and with
# multicast addresses. One that is in none of them is down.
INDEXES = {
    "igmp": (re.compile(r"^(\d+)\t(\S+) *:", re.MULTILINE), 10),
    "dev_mcast": (re.compile(r"^(\d+) +(\S+) ", re.MULTILINE), 10),
    "if_inet6": (re.compile(r"^[0-9a-f]{32} ([0-9a-f]+) (?:[0-9a-f]+ ){3} *(\S+)$", re.MULTILINE), 16),
}

logger = logging.getLogger("defender_publisher")


def collect_traffic(procfs_path: str = procfs.OWN_PROCFS) -> dict[str, Interface]:
    """Return all interfaces by name; raises CollectError.

    Linux: this network namespace by netlink, and from /proc where that is refused; the host's from its /proc, where
    `procfs_path` is not the own one. macOS: netstat. Elsewhere: psutil, without its hiding of counters that wrapped,
    since growth is measured against a saved snapshot and not in memory.
    """
    interfaces: dict[str, Interface] = {}
    for each in _read(procfs_path):
        is_first = each.name not in interfaces  # names that are not UTF-8 can become alike
        name = each.name if is_first else f"{each.name}%{each.identity}"
        interfaces[name] = each._replace(name=name)
    if not interfaces:
        raise CollectError("no network interface has counters")
    return interfaces


def _read(procfs_path: str) -> Iterable[Interface]:
    if procfs.is_own(procfs_path) and netlink.available():
        try:
            return rtnetlink.read_interfaces()
        except CollectError as error:
            logger.debug("interfaces are read from %s, because of %s", procfs_path, error)
    if procfs.has_tables(procfs_path):
        return _read_proc(procfs_path)
    return _read_netstat() if sys.platform == "darwin" else _read_psutil()


def _read_proc(procfs_path: str) -> Iterator[Interface]:
    net = procfs.net_directory(procfs_path)
    indexes = {} if procfs.is_own(procfs_path) else read_indexes(net)
    for raw, counters in parse_counters(procfs.read_table(os.path.join(net, "dev"))).items():
        name = raw.decode(errors="replace")
        identity = _identity_of(raw) if procfs.is_own(procfs_path) else indexes.get(name, "")
        yield Interface(name, counters, identity)


def parse_counters(table: bytes) -> dict[bytes, Counters]:
    """Return the counters in a /proc/net/dev; a line that is no interface is skipped.

    The name ends at the last colon: old aliases have one themselves (`eth0:1`), and there may be no blank after it.
    """
    counters = {}
    for line in table.splitlines()[2:]:
        name, _, columns = line.rpartition(b":")
        try:
            counters[name.strip()] = _counters([int(column) for column in columns.split()])
        except (ValueError, IndexError):
            logger.debug("skipped a line that is no interface: %r", line)
    return counters


def _counters(columns: list[int]) -> Counters:
    return Counters(columns[BYTES_IN], columns[BYTES_OUT], columns[PACKETS_IN], columns[PACKETS_OUT])


def read_indexes(net: str) -> dict[str, str]:
    """Return the identities of interfaces by name, as far as a /proc/net tells them."""
    indexes: dict[str, str] = {}
    for name, (pattern, base) in INDEXES.items():
        path = os.path.join(net, name)
        table = procfs.read_file(path).decode(errors="replace") if os.path.exists(path) else ""
        indexes.update({found: str(int(index, base)) for index, found in pattern.findall(table)})
    return indexes


def _identity_of(name: bytes | str) -> str:
    try:
        return str(socket.if_nametoindex(name))  # type: ignore[arg-type]  # bytes as well, as for paths
    except OSError:  # it is gone already
        return ""


def _read_netstat() -> Iterable[Interface]:
    from defender_publisher.collectors import netstat  # here, because other systems do without it

    return netstat.read_interfaces()


def _read_psutil() -> Iterator[Interface]:
    import psutil  # here, because Linux does without it, and it costs start-up time and memory

    try:
        interfaces = psutil.net_io_counters(pernic=True, nowrap=False)
    except (psutil.Error, OSError) as error:
        raise CollectError(f"psutil cannot read the interfaces' counters: {error}") from error
    for name, seen in interfaces.items():
        counters = Counters(seen.bytes_recv, seen.bytes_sent, seen.packets_recv, seen.packets_sent)
        yield Interface(name_of(name), counters, _identity_of(name))

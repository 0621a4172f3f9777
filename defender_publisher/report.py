"""The report: a snapshot in Device Defender's own form, in long field names.

Pure functions. The form is that of
https://docs.aws.amazon.com/iot-device-defender/latest/devguide/detect-device-side-metrics.html
"""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

from defender_daemon.collected import Connections, Metrics, NetworkStats, Ports
from defender_publisher.collectors.attempt import attempt
from defender_publisher.errors import CollectError
from defender_publisher.growth import growth, names_before
from defender_publisher.snapshot import Connection, Port, Snapshot, Sockets
from defender_publisher.state import Baseline
from device_defender.metrics import TYPES

VERSION = "1.0"
LOOPBACK_INTERFACES = ("lo", "lo0")  # Linux; macOS and BSD

Report = dict[str, Any]


def build_report(report_id: int, snapshot: Snapshot, baseline: Baseline | None, metrics: Metrics) -> Report:
    """Return the report of a snapshot; what was not collected is not in it.

    Raises CollectError when nothing at all was collected, because Device Defender refuses an empty report.
    """
    blocks = {name: block for name, block in _blocks(snapshot, baseline, metrics) if block is not None}
    custom = {name: [{TYPES[each.type].in_report: each.value}] for name, each in snapshot.custom_metrics.items()}
    if not blocks and not custom:
        raise CollectError("nothing could be collected, so there is nothing to report")
    report: Report = {"header": {"report_id": report_id, "version": VERSION}}
    if blocks:
        report["metrics"] = blocks
    if custom:
        report["custom_metrics"] = custom
    return report


def summarize(report: Report) -> str:
    """Return in a few words what a report holds, for the log."""
    metrics = report.get("metrics", {})
    counts = {
        "TCP ports": metrics.get("listening_tcp_ports", {}).get("total"),
        "UDP ports": metrics.get("listening_udp_ports", {}).get("total"),
        "connections": metrics.get("tcp_connections", {}).get("established_connections", {}).get("total"),
        "bytes in": metrics.get("network_stats", {}).get("bytes_in"),
        "bytes out": metrics.get("network_stats", {}).get("bytes_out"),
        "custom metrics": len(report.get("custom_metrics", {})) or None,
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count is not None)


def sample(entries: list[Any], size: int | None, chance: random.Random | None = None) -> list[Any]:
    """Return `size` of the entries, each as likely as any other, in their order; all of them without a size."""
    if size is None or len(entries) <= size:
        return entries
    pick = chance.sample if chance else random.sample
    return [entries[index] for index in sorted(pick(range(len(entries)), size))]


def _blocks(snapshot: Snapshot, baseline: Baseline | None, metrics: Metrics) -> Iterator[tuple[str, Report | None]]:
    sockets = snapshot.sockets
    yield "listening_tcp_ports", _ports(sockets.listening_tcp_ports, metrics.listening_tcp_ports, metrics)
    yield "listening_udp_ports", _ports(sockets.listening_udp_ports, metrics.listening_udp_ports, metrics)
    yield "tcp_connections", _connections(sockets, metrics.tcp_connections, metrics)
    yield "network_stats", _network_stats(snapshot, baseline, metrics.network_stats)


def _ports(ports: Collection[Port] | None, block: bool | Ports, metrics: Metrics) -> Report | None:
    if ports is None or block is False:
        return None
    options = block if isinstance(block, Ports) else Ports()
    kept = {
        each if options.interface else Port(each.port, "")
        for each in ports
        if not (options.exclude_loopback and each.interface in LOOPBACK_INTERFACES)
    }
    size = options.max_list_size or metrics.max_list_size
    entries = [_present(port=each.port, interface=each.interface) for each in _sampled(kept, size)]
    return {"ports": entries, "total": len(kept)}


def _connections(sockets: Sockets, block: bool | Connections, metrics: Metrics) -> Report | None:
    if sockets.tcp_connections is None or block is False:
        return None
    options = block if isinstance(block, Connections) else Connections()
    kept = {
        each if options.local_port and options.interface else _shortened(each, options)
        for each in sockets.tcp_connections
        if not (options.exclude_loopback and _leads_to_itself(each, sockets.own_addresses))
    }
    size = options.max_list_size or metrics.max_list_size
    entries = [
        _present(remote_addr=each.remote_addr, local_port=each.local_port, local_interface=each.local_interface)
        for each in _sampled(kept, size)
    ]
    total = len(kept) if sockets.connections_total is None else sockets.connections_total
    return {"established_connections": {"connections": entries, "total": total}}


def _leads_to_itself(connection: Connection, own_addresses: Collection[str]) -> bool:
    """Whether a connection stays on this device: by the loopback interface, or to an address of its own."""
    remote_ip = connection.remote_addr.rpartition(":")[0].strip("[]")
    return connection.local_interface in LOOPBACK_INTERFACES or remote_ip in own_addresses


def _shortened(connection: Connection, options: Connections) -> Connection:
    local_port = connection.local_port if options.local_port else 0
    return Connection(connection.remote_addr, local_port, connection.local_interface if options.interface else "")


def _network_stats(snapshot: Snapshot, baseline: Baseline | None, block: bool | NetworkStats) -> Report | None:
    if block is False or snapshot.interfaces is None or baseline is None:
        return None
    if snapshot.boot_id is None or snapshot.boot_id != baseline.boot_id:
        return None
    options = block if isinstance(block, NetworkStats) else NetworkStats()
    counted = {name: each for name, each in snapshot.interfaces.items() if _counts(name, options)}
    names = names_before(baseline.identities, snapshot.identities, counted)
    total = attempt("network_stats", partial(growth, baseline.interfaces, counted, names))
    return total._asdict() if total is not None else None


def _counts(interface: str, options: NetworkStats) -> bool:
    wanted = any(fnmatch.fnmatchcase(interface, pattern) for pattern in options.interfaces)
    return wanted and not any(fnmatch.fnmatchcase(interface, pattern) for pattern in options.exclude_interfaces)


def _sampled(entries: Collection[Any], size: int | None) -> list[Any]:
    if size is None or len(entries) <= size:
        return sorted(entries)
    return sample(sorted(entries), size)


def _present(**fields: Any) -> Report:
    return {key: value for key, value in fields.items() if value}

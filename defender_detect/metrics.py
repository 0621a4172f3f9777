"""The metrics that a report holds, by the names that a security profile gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

from device_defender.metrics import DEVICE_SIDE as METRICS
from device_defender.metrics import LARGEST_COUNT, SILENCE, SUMMED
from device_defender.report import Connections, ListeningPorts, Report, addresses_of

__all__ = ["LARGEST_COUNT", "METRICS", "SILENCE", "SUMMED", "Value", "as_count", "metric_values"]

FORGOTTEN_AFTER = 2 * 24 * 3600.0  # seconds without a report; its alarms are invalid then, as at AWS
Value = Union[int, float, tuple[Union[int, float, str], ...]]  # what a metric is; lists are tuples


def metric_values(report: Report) -> dict[str, Value]:
    """Return every metric of an accepted report; what the report leaves out has no entry."""
    values: dict[str, Value] = {}
    metrics = report.metrics
    if metrics:
        if stats := metrics.network_stats:
            _add_count(values, "aws:all-bytes-in", stats.bytes_in)
            _add_count(values, "aws:all-bytes-out", stats.bytes_out)
            _add_count(values, "aws:all-packets-in", stats.packets_in)
            _add_count(values, "aws:all-packets-out", stats.packets_out)
        _add_ports(values, "tcp", metrics.listening_tcp_ports)
        _add_ports(values, "udp", metrics.listening_udp_ports)
        if metrics.tcp_connections:
            _add_connections(values, metrics.tcp_connections.established_connections)
    for name, metric in (report.custom_metrics or {}).items():
        if metric:
            (value,) = metric
            found = value.number_list or value.string_list or value.ip_list or ()
            values[name] = tuple(found) if value.number is None else value.number
    return values


def _add_ports(values: dict[str, Value], protocol: str, listening: ListeningPorts | None) -> None:
    """Add the listening ports, each once, and how many there are."""
    if listening:
        if listening.ports is not None:
            values[f"aws:listening-{protocol}-ports"] = tuple({int(each.port): None for each in listening.ports})
        _add_total(values, f"aws:num-listening-{protocol}-ports", listening.total, listening.ports)


def _add_connections(values: dict[str, Value], established: Connections | None) -> None:
    """Add the addresses that the thing is connected to, each once, and how many connections there are."""
    if established:
        if established.connections is not None:
            addresses = addresses_of([each.remote_addr for each in established.connections])
            values["aws:destination-ip-addresses"] = tuple(dict.fromkeys(filter(None, addresses)))
        _add_total(values, "aws:num-established-tcp-connections", established.total, established.connections)


def _add_total(values: dict[str, Value], metric: str, total: float | None, items: Sequence[object] | None) -> None:
    """Add how many there are: the report's total, or as many as it lists; nothing if it says neither."""
    _add_count(values, metric, len(items) if total is None and items is not None else total)


def _add_count(values: dict[str, Value], metric: str, count: float | None) -> None:
    if count is not None:
        values[metric] = as_count(count)


def as_count(value: float) -> float:
    """Return a count, at most the largest that AWS has: what is kept has no room for all that a report may claim."""
    return value if value <= LARGEST_COUNT else LARGEST_COUNT

"""The metrics that a report holds, by the names that a security profile gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

Value = Union[int, float, tuple[Union[int, float, str], ...]]  # what a metric is; lists are tuples

LARGEST_COUNT = 2**63 - 1  # AWS's long; a report may claim more, and what is kept has no room for that
METRICS = {  # every device-side metric, with the key of its value in the API
    "aws:all-bytes-in": "count",
    "aws:all-bytes-out": "count",
    "aws:all-packets-in": "count",
    "aws:all-packets-out": "count",
    "aws:num-listening-tcp-ports": "count",
    "aws:num-listening-udp-ports": "count",
    "aws:num-established-tcp-connections": "count",
    "aws:listening-tcp-ports": "ports",
    "aws:listening-udp-ports": "ports",
    "aws:destination-ip-addresses": "cidrs",
}
SUMMED = ("aws:all-bytes-in", "aws:all-bytes-out", "aws:all-packets-in", "aws:all-packets-out")  # over durationSeconds
CUSTOM_KINDS = {"number": "number", "number_list": "numbers", "string_list": "strings", "ip_list": "cidrs"}
NETWORK_STATS = (
    ("bytes_in", "aws:all-bytes-in"),
    ("bytes_out", "aws:all-bytes-out"),
    ("packets_in", "aws:all-packets-in"),
    ("packets_out", "aws:all-packets-out"),
)
LISTENING = (
    ("listening_tcp_ports", "aws:num-listening-tcp-ports", "aws:listening-tcp-ports"),
    ("listening_udp_ports", "aws:num-listening-udp-ports", "aws:listening-udp-ports"),
)


def metric_values(report: Mapping[str, Any]) -> dict[str, Value]:
    """Return every metric of an accepted report (long names); what the report leaves out has no entry."""
    values: dict[str, Value] = {}
    if metrics := report.get("metrics"):
        add_network_stats(values, metrics)
        add_listening_ports(values, metrics)
        add_connections(values, metrics)
    for name, ((kind, value),) in ((name, item[0].items()) for name, item in report.get("custom_metrics", {}).items()):
        values[name] = value if kind == "number" else tuple(value)
    return values


def add_network_stats(values: dict[str, Value], metrics: Mapping[str, Any]) -> None:
    """Add what went in and out since the thing's last report."""
    if stats := metrics.get("network_stats"):
        for field, metric in NETWORK_STATS:
            if field in stats:
                values[metric] = as_count(stats[field])


def add_listening_ports(values: dict[str, Value], metrics: Mapping[str, Any]) -> None:
    """Add the listening ports, each once, and how many there are: the report's total, or else as many as it lists."""
    for block, number, listed in LISTENING:
        if listening := metrics.get(block):
            ports = listening.get("ports")
            if ports is not None:
                values[listed] = tuple({entry["port"]: None for entry in ports})
            add_total(values, number, listening.get("total"), ports)


def add_connections(values: dict[str, Value], metrics: Mapping[str, Any]) -> None:
    """Add the addresses that the thing is connected to, each once, and how many connections there are."""
    if established := metrics.get("tcp_connections", {}).get("established_connections"):
        connections = established.get("connections")
        if connections is not None:
            addresses = (entry["remote_addr"].rpartition(":")[0].strip("[]") for entry in connections)
            values["aws:destination-ip-addresses"] = tuple(dict.fromkeys(addresses))
        add_total(values, "aws:num-established-tcp-connections", established.get("total"), connections)


def add_total(values: dict[str, Value], metric: str, total: float | None, items: list[Any] | None) -> None:
    """Add how many there are; nothing if the report says neither that nor which."""
    if total is not None:
        values[metric] = as_count(total)
    elif items is not None:
        values[metric] = len(items)


def as_count(value: float) -> float:
    """Return a count, at most the largest that AWS has."""
    return value if value <= LARGEST_COUNT else LARGEST_COUNT


def kind_of(metric: str, value: Value) -> str:
    """Return the key that a value has in the API; a custom metric's list of strings might be one of addresses."""
    if metric in METRICS:
        return METRICS[metric]
    if not isinstance(value, tuple):
        return "number"
    return "strings" if value and isinstance(value[0], str) else "numbers"

"""The device: what the publisher can look at, seen through the collectors that the configuration switches on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from defender_daemon.collected import Connections
from defender_daemon.config import Config
from defender_publisher.collectors.attempt import attempt
from defender_publisher.collectors.boot import boot_id
from defender_publisher.collectors.custom import CustomMetrics
from defender_publisher.collectors.sockets import SocketCollector
from defender_publisher.collectors.traffic import collect_traffic
from defender_publisher.snapshot import Interface, Snapshot, Sockets
from device_defender.report import LARGEST_PAYLOAD

# Bytes of {"remote_addr":"[::1]:1","local_port":1}, the shortest entry of a connection, by format and short_names.
SHORTEST_CONNECTION = {("json", False): 41, ("json", True): 25, ("cbor", False): 33, ("cbor", True): 17}
SOCKET_BLOCKS = ("listening_tcp_ports", "listening_udp_ports", "tcp_connections")


class Device(Protocol):
    """Something that reports are about."""

    def look(self) -> Sockets:
        """Return the sockets as they are now."""

    def snapshot(self, sockets: Sockets) -> Snapshot:
        """Return the rest of a report's content as it is now, together with the sockets seen."""


class ThisDevice:
    """The device this program runs on."""

    def __init__(self, config: Config) -> None:
        metrics = config.metrics
        self._procfs = config.agent.procfs_path
        wanted = [name for name in SOCKET_BLOCKS if getattr(metrics, name) is not False]
        self._sockets = SocketCollector(wanted, self._procfs, most_connections(config))
        self._boot_id = boot_id(self._procfs)  # a process does not outlive its boot
        self._counts_traffic = metrics.network_stats is not False
        self._custom = CustomMetrics(config.custom_metrics, self._procfs)

    def look(self) -> Sockets:
        """Return the sockets as they are now; a block that could not be collected is None and logged."""
        return attempt("sockets", self._sockets.collect) or Sockets()

    def snapshot(self, sockets: Sockets) -> Snapshot:
        """Return counters and custom metrics as they are now, with the sockets seen; what failed is left out."""
        interfaces = self._interfaces()
        return Snapshot(
            taken_at=time.time(),
            boot_id=self._boot_id,
            sockets=sockets,
            interfaces={name: each.counters for name, each in interfaces.items()} or None,
            identities={name: each.identity for name, each in interfaces.items() if each.identity},
            custom_metrics=attempt("custom metrics", self._custom.collect) or {},
        )

    def _interfaces(self) -> Mapping[str, Interface]:
        return attempt("network_stats", partial(collect_traffic, self._procfs)) or {} if self._counts_traffic else {}


def collect(config: Config) -> Snapshot:
    """Return what this device shows now, of what the configuration switches on; what fails is logged and left out."""
    device = ThisDevice(config)
    return device.snapshot(device.look())


def most_connections(config: Config) -> int | None:
    """Return how many connections of one look can become entries of a report, or None if that look needs them all.

    It does where `total` is not the number of this look's connections: where several looks make a report, and where
    options leave connections out or make two of them one entry.
    """
    agent, block = config.agent, config.metrics.tcp_connections
    options = block if isinstance(block, Connections) else Connections()
    if agent.looks_between:
        return None
    if options.exclude_loopback or not (options.interface and options.local_port):
        return None
    most = LARGEST_PAYLOAD // SHORTEST_CONNECTION[agent.format, agent.short_names]
    return min(options.max_list_size or config.metrics.max_list_size or most, most)

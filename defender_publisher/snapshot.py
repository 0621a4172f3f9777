"""A snapshot: what one look at the device saw, before it becomes a report.

In every field None means "not collected" (switched off, or its collection failed) and is left out of the report, while
an empty set means "looked, and found nothing" and is sent as an empty list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar, Union

import msgspec

Number = Union[int, float]
T = TypeVar("T")


class Port(NamedTuple):
    """A port something listens on; `interface` is a name, "0.0.0.0" or "::" for all, or "" when unknown."""

    port: int
    interface: str


class Connection(NamedTuple):
    """An established TCP connection; `remote_addr` is "ip:port" or "[ipv6]:port"."""

    remote_addr: str
    local_port: int
    local_interface: str


class Counters(NamedTuple):
    """The traffic of one network interface since boot, as the kernel counts it (bytes and packets)."""

    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int


class Interface(NamedTuple):
    """A network interface; `identity` is what the kernel knows it by as long as it exists ("" where nobody tells).

    That is its index, which no other one gets until the next boot, and that of its other end if it has one.
    """

    name: str
    counters: Counters
    identity: str = ""


class CustomValue(NamedTuple):
    """A custom metric's value; `type` is its metricType in the API, "number-list" for instance."""

    type: str
    value: Number | list[Number] | list[str]


class Sockets(msgspec.Struct, frozen=True):
    """The sockets seen by one look, or by several looks together (see `union`).

    Where `tcp_connections` is only a uniform sample of one look's, `connections_total` is how many that look saw.
    `own_addresses` are this device's: a connection to one of them goes from the device to itself.
    """

    listening_tcp_ports: frozenset[Port] | None = None
    listening_udp_ports: frozenset[Port] | None = None
    tcp_connections: frozenset[Connection] | None = None
    connections_total: int | None = None
    own_addresses: frozenset[str] = frozenset()

    def union(self, other: Sockets) -> Sockets:
        """Return everything that this look and the `other`, later one saw; a block is None only where both are.

        How many connections two looks saw together cannot be told from samples: then the later look's stand alone.
        """
        sampled = self.connections_total is not None or other.connections_total is not None
        latest = self if other.tcp_connections is None else other
        return Sockets(
            _either(self.listening_tcp_ports, other.listening_tcp_ports),
            _either(self.listening_udp_ports, other.listening_udp_ports),
            latest.tcp_connections if sampled else _either(self.tcp_connections, other.tcp_connections),
            latest.connections_total,
            self.own_addresses | other.own_addresses,
        )


class Snapshot(msgspec.Struct, frozen=True):
    """Everything a report is made of; `taken_at` is in seconds since the epoch.

    `interfaces` maps names to counters, and `identities` those whose identity is known to it (see `Interface`).
    """

    taken_at: float
    boot_id: str | None = None
    sockets: Sockets = msgspec.field(default_factory=Sockets)
    interfaces: Mapping[str, Counters] | None = None
    custom_metrics: Mapping[str, CustomValue] = msgspec.field(default_factory=dict)
    identities: Mapping[str, str] = msgspec.field(default_factory=dict)


def _either(one: frozenset[T] | None, other: frozenset[T] | None) -> frozenset[T] | None:
    return other if one is None else one if other is None else one | other

"""Listening ports and established connections: a look at the kernel's socket table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable
from functools import cache, partial
from typing import TypeVar

from defender_publisher.collectors import netlink, procfs
from defender_publisher.collectors.attempt import attempt
from defender_publisher.collectors.interfaces import interface_of
from defender_publisher.collectors.linux_sockets import LinuxSockets
from defender_publisher.collectors.names import InterfaceNames
from defender_publisher.collectors.table import ESTABLISHED, LISTEN, UNCONNECTED, LocalEnd, Reader, SocketRow, Table
from defender_publisher.snapshot import Connection, Port, Sockets

T = TypeVar("T")

BLOCKS = {  # what each block of the report is made of: a protocol, and the state its sockets are in
    "listening_tcp_ports": ("tcp", LISTEN),
    "listening_udp_ports": ("udp", UNCONNECTED),
    "tcp_connections": ("tcp", ESTABLISHED),
}


class SocketCollector:
    """Looks at the sockets, in the blocks that are wanted (names of `Sockets`' fields).

    With `most_connections` a look at more of them keeps a uniform sample of that many, and how many there were, so that
    50,000 take no more memory than 100. `reader` is for tests; the default suits the system (see `select_reader`).
    """

    def __init__(
        self,
        wanted: Collection[str],
        procfs_path: str = "/proc",
        most_connections: int | None = None,
        reader: Reader | None = None,
    ) -> None:
        self._wanted = wanted
        self._most = most_connections
        self._reader = reader or select_reader(procfs_path)
        self._names = InterfaceNames(procfs_path)

    def collect(self) -> Sockets:
        """Return the sockets there are now.

        A block that is not wanted is None. So is one that could not be collected, after a WARNING; that does not keep
        the others from being collected.
        """
        interfaces = _Interfaces(self._names)
        tcp, udp = (self._read(protocol, interfaces) for protocol in ("tcp", "udp"))
        connections = self._block("tcp_connections", tcp, _connections, interfaces)
        return Sockets(
            listening_tcp_ports=self._block("listening_tcp_ports", tcp, _ports, interfaces),
            listening_udp_ports=self._block("listening_udp_ports", udp, _ports, interfaces),
            tcp_connections=connections,
            connections_total=None if tcp is None else tcp.connections,
            own_addresses=interfaces.own_addresses() if connections else frozenset(),
        )

    def _read(self, protocol: str, interfaces: _Interfaces) -> Table | None:
        """Return the table of a protocol, with one pass over it for all of its blocks, or None."""
        states = {name: state for name, (its, state) in BLOCKS.items() if its == protocol and name in self._wanted}
        if not states:
            return None
        return attempt(", ".join(states), partial(self._sampled, protocol, set(states.values()), interfaces))

    def _sampled(self, protocol: str, states: Collection[int], interfaces: _Interfaces) -> Table:
        sample: Callable[[str, Collection[int], int], Table] | None = getattr(self._reader, "sample", None)
        if self._most is not None and sample is not None:
            table = sample(protocol, states, self._most)
            if table.connections is None or interfaces.tell_apart(table.local_ends):
                return table
        return Table(self._reader(protocol, states))

    def _block(
        self, name: str, table: Table | None, make: Callable[[list[SocketRow], _Interfaces], T], interfaces: _Interfaces
    ) -> T | None:
        """Return what a block of the report becomes from its rows of the table, or None."""
        if table is None or name not in self._wanted:
            return None
        _, state = BLOCKS[name]
        return attempt(name, lambda: make([row for row in table.rows if row.state == state], interfaces))


def collect_sockets(wanted: Collection[str], procfs_path: str = "/proc", reader: Reader | None = None) -> Sockets:
    """Return the sockets there are now, every one, in the blocks that are wanted (see `SocketCollector`)."""
    return SocketCollector(wanted, procfs_path, reader=reader).collect()


def select_reader(procfs_path: str) -> Reader:
    """Return the best way to read this system's socket table."""
    if procfs.has_tables(procfs_path):
        use_netlink = procfs.is_own(procfs_path) and netlink.available()
        return LinuxSockets() if use_netlink else partial(procfs.read_rows, procfs_path=procfs_path)
    return _reader_without_proc()


def _reader_without_proc() -> Reader:
    if sys.platform == "darwin":
        from defender_publisher.collectors import netstat  # here, because other systems do without it

        return netstat.read_rows
    from defender_publisher.collectors import psutil_sockets  # here, because psutil costs start-up time and memory

    return psutil_sockets.read_rows


class _Interfaces(dict[tuple[str, str], str]):
    """The interfaces of local ends found in one look: thousands of sockets share a few."""

    def __init__(self, names: InterfaceNames) -> None:
        super().__init__()
        self._by_address = cache(lambda: attempt("interface names", names.current) or {})  # only if there is a socket

    def __missing__(self, end: tuple[str, str]) -> str:
        local_ip, bound_to = end
        interface = self[end] = interface_of(local_ip, self._by_address(), bound_to)
        return interface

    def own_addresses(self) -> frozenset[str]:
        """Return the addresses of this device."""
        return frozenset(self._by_address())

    def tell_apart(self, ends: Collection[LocalEnd]) -> bool:
        """Tell whether connections with different ends are different in a report, where addresses are not listed.

        They are unless two addresses of one family are on one interface: then both can have the same ports and peer,
        which makes one entry. To know whether any two do, all have to be held; a kernel's table has each only once.
        """
        return len({(":" in end.local_ip, self[end]) for end in ends}) == len(ends)


def _ports(rows: Iterable[SocketRow], interfaces: _Interfaces) -> frozenset[Port]:
    return frozenset(Port(row.local_port, interfaces[row.local_ip, row.bound_to]) for row in rows)


def _connections(rows: Iterable[SocketRow], interfaces: _Interfaces) -> frozenset[Connection]:
    return frozenset(
        Connection(_remote_addr(row), row.local_port, interfaces[row.local_ip, row.bound_to]) for row in rows
    )


def _remote_addr(row: SocketRow) -> str:
    return f"[{row.remote_ip}]:{row.remote_port}" if ":" in row.remote_ip else f"{row.remote_ip}:{row.remote_port}"

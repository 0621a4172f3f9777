"""Listening ports and established connections: a look at the kernel's socket table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial

from defender_publisher.collectors import procfs, psutil_sockets
from defender_publisher.collectors.attempt import attempt
from defender_publisher.collectors.interfaces import interface_names, interface_of
from defender_publisher.collectors.table import ESTABLISHED, LISTEN, UNCONNECTED, Reader, SocketRow
from defender_publisher.snapshot import Connection, Port, Sockets

BLOCKS = {  # what each block of the report is made of: a protocol, and the state its sockets are in
    "listening_tcp_ports": ("tcp", LISTEN),
    "listening_udp_ports": ("udp", UNCONNECTED),
    "tcp_connections": ("tcp", ESTABLISHED),
}


def collect_sockets(wanted: Collection[str], procfs_path: str = "/proc", reader: Reader | None = None) -> Sockets:
    """Return the sockets there are now, in the blocks that are wanted (names of `Sockets`' fields).

    A block that is not wanted is None. So is one that could not be collected, after a WARNING; that does not keep the
    others from being collected. `reader` is for tests; the default suits the system (see `select_reader`).
    """
    rows = _read_blocks(wanted, reader or select_reader(procfs_path))
    names = attempt("interface names", partial(interface_names, procfs_path)) or {}
    return Sockets(
        listening_tcp_ports=_ports(rows.get("listening_tcp_ports"), names),
        listening_udp_ports=_ports(rows.get("listening_udp_ports"), names),
        tcp_connections=_connections(rows.get("tcp_connections"), names),
    )


def select_reader(procfs_path: str) -> Reader:
    """Return the best way to read this system's socket table."""
    if procfs.has_tables(procfs_path):
        return partial(procfs.read_rows, procfs_path=procfs_path)
    return psutil_sockets.read_rows


def _read_blocks(wanted: Collection[str], reader: Reader) -> dict[str, list[SocketRow]]:
    """Return the rows of each wanted block that could be read, with one pass over each protocol's table."""
    blocks: dict[str, list[SocketRow]] = {}
    for protocol in ("tcp", "udp"):
        states = {name: state for name, (its, state) in BLOCKS.items() if its == protocol and name in wanted}
        rows = attempt(", ".join(states), partial(reader, protocol, set(states.values()))) if states else None
        if rows is not None:
            blocks.update({name: [row for row in rows if row.state == state] for name, state in states.items()})
    return blocks


def _ports(rows: Iterable[SocketRow] | None, names: Mapping[str, str]) -> frozenset[Port] | None:
    if rows is None:
        return None
    return frozenset(Port(row.local_port, interface_of(row.local_ip, names)) for row in rows)


def _connections(rows: Iterable[SocketRow] | None, names: Mapping[str, str]) -> frozenset[Connection] | None:
    if rows is None:
        return None
    return frozenset(Connection(_remote_addr(row), row.local_port, interface_of(row.local_ip, names)) for row in rows)


def _remote_addr(row: SocketRow) -> str:
    return f"[{row.remote_ip}]:{row.remote_port}" if ":" in row.remote_ip else f"{row.remote_ip}:{row.remote_port}"

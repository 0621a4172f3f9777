"""The socket table as psutil gives it, for systems without /proc/net such as macOS."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import psutil

from defender_publisher.collectors.table import ESTABLISHED, LISTEN, UNCONNECTED, SocketRow, unmapped
from defender_publisher.errors import CollectError

TCP_STATES = {psutil.CONN_LISTEN: LISTEN, psutil.CONN_ESTABLISHED: ESTABLISHED}
NO_ENDPOINT = ("", 0)


def read_rows(protocol: str, states: Collection[int]) -> list[SocketRow]:
    """Return the sockets of "tcp" or "udp" over IPv4 and IPv6 that are in one of the states (see `table`).

    Raises CollectError, on macOS whenever the agent is not root: psutil has to look into every process there.
    """
    try:
        connections = psutil.net_connections(kind=protocol)
    except psutil.AccessDenied as error:
        raise CollectError("only root may list this system's sockets: run the agent as root") from error
    except (psutil.Error, OSError) as error:
        raise CollectError(f"psutil cannot list the sockets: {error}") from error
    return [row for row in rows_of(protocol, connections) if row.state in states]


def rows_of(protocol: str, connections: Iterable[Any]) -> Iterator[SocketRow]:
    """Yield psutil's connections as rows, without those that are in no state of ours or bound to no port."""
    for connection in connections:
        local_ip, local_port = connection.laddr or NO_ENDPOINT
        remote_ip, remote_port = connection.raddr or NO_ENDPOINT
        state = _udp_state(remote_port) if protocol == "udp" else TCP_STATES.get(connection.status)
        if state is not None and local_port:
            yield SocketRow(state, _plain(local_ip), local_port, _plain(remote_ip), remote_port)


def _udp_state(remote_port: int) -> int:
    return ESTABLISHED if remote_port else UNCONNECTED  # psutil has no state for UDP; only a connected one has a peer


def _plain(address: str) -> str:
    return unmapped(address.partition("%")[0])

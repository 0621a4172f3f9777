"""The socket table as netstat(1) prints it on macOS, where psutil needs root and netstat does not."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import ip_address

from defender_publisher.collectors.commands import read_output
from defender_publisher.collectors.table import ESTABLISHED, LISTEN, UNCONNECTED, SocketRow
from defender_publisher.errors import CollectError

NETSTAT = "/usr/sbin/netstat"
FAMILIES = ("inet", "inet6")
PATIENCE = 20.0  # seconds; it takes some hundredths of one
HEADING = "Proto"
TCP_STATES = {"LISTEN": LISTEN, "ESTABLISHED": ESTABLISHED}
WILDCARDS = {"4": "0.0.0.0", "6": "::", "46": "::"}  # noqa: S104 - what netstat prints as `*`, as the other readers do

Endpoint = tuple[str, int, str]  # address, port, zone


def read_rows(protocol: str, states: Collection[int], /, netstat: str = NETSTAT) -> list[SocketRow]:
    """Return the sockets of "tcp" or "udp" over IPv4 and IPv6 that are in one of the states (see `table`).

    Needs no privilege. Raises CollectError, which says what netstat said.
    """
    return [
        row for family in FAMILIES for row in parse_rows(read_netstat(family, netstat), protocol) if row.state in states
    ]


def read_netstat(family: str, netstat: str = NETSTAT) -> str:
    """Return what netstat prints about a family's sockets; raises CollectError, also when there is no heading.

    It is asked for numbers (-n) of all sockets (-a), and for whole IPv6 addresses (-l): without, it cuts them after 16
    characters.
    """
    try:
        text = read_output([netstat, "-anl", "-f", family], PATIENCE)
    except CollectError as error:
        raise CollectError(f"{netstat} {error}") from error
    if text and HEADING not in text:
        raise CollectError(f"{netstat} printed no table of sockets")
    return text


def parse_rows(text: str, protocol: str) -> Iterator[SocketRow]:
    """Yield the sockets of a protocol in netstat's output that are bound to a port and in a state of ours.

    Raises CollectError where an address cannot be understood: a list without it would be wrong.
    """
    for line in text.splitlines():
        name, *columns = line.split() or [""]
        version = name[len(protocol) :]
        if name.startswith(protocol) and version in WILDCARDS and len(columns) >= 4:
            row = _row(protocol, version, columns[2], columns[3], "".join(columns[4:5]))
            if row is not None:
                yield row


def _row(protocol: str, version: str, local: str, remote: str, tcp_state: str) -> SocketRow | None:
    local_ip, local_port, zone = parse_endpoint(local, version)
    remote_ip, remote_port, _ = parse_endpoint(remote, version)
    state = _udp_state(remote_port) if protocol == "udp" else TCP_STATES.get(tcp_state)
    return SocketRow(state, local_ip, local_port, remote_ip, remote_port, zone) if state and local_port else None


def _udp_state(remote_port: int) -> int:
    return ESTABLISHED if remote_port else UNCONNECTED


def parse_endpoint(printed: str, version: str) -> Endpoint:
    """Return what netstat prints as `address.port`, with `*` for none; raises CollectError.

    A link-local address has the interface it is on after a `%`.
    """
    address, _, port = printed.rpartition(".")
    address, _, zone = address.partition("%")
    try:
        ip = ip_address(WILDCARDS[version] if address == "*" else address)
        return str(getattr(ip, "ipv4_mapped", None) or ip), 0 if port == "*" else int(port), zone
    except ValueError as error:
        raise CollectError(f"netstat printed {printed!r}, which is no address and port") from error

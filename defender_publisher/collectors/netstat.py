"""The sockets and the interfaces' counters as netstat(1) prints them on macOS.

For the sockets psutil needs root there, and netstat does not. The counters psutil gets since macOS 13.2 are cut to 32
bits and rounded, as for every program that Apple did not sign.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Collection, Iterator, Sequence
from ipaddress import ip_address

from defender_daemon.text import name_of
from defender_publisher.collectors.commands import read_output
from defender_publisher.collectors.table import ESTABLISHED, LISTEN, UNCONNECTED, SocketRow
from defender_publisher.errors import CollectError
from defender_publisher.snapshot import Counters, Interface

NETSTAT = "/usr/sbin/netstat"
FAMILIES = ("inet", "inet6")
PATIENCE = 20.0  # seconds; it takes some hundredths of one
HEADING = "Proto"
TCP_STATES = {"LISTEN": LISTEN, "ESTABLISHED": ESTABLISHED}
WILDCARDS = {"4": "0.0.0.0", "6": "::", "46": "::"}  # noqa: S104 - what netstat prints as `*`, as the other readers do

COUNTED = ["Ipkts", "Ierrs", "Ibytes", "Opkts", "Oerrs", "Obytes", "Coll"]  # the last columns of the interfaces' table
UNBELIEVABLE = 100  # packets that an interface received, and no byte: it does not count bytes (some managed Macs)
LINK = re.compile(r"<Link#([0-9]+)>")  # the network of the row that is the interface's own, with its index

Endpoint = tuple[str, int, str]  # address, port, zone

logger = logging.getLogger("defender_publisher")


def read_rows(protocol: str, states: Collection[int], /, netstat: str = NETSTAT) -> list[SocketRow]:
    """Return the sockets of "tcp" or "udp" over IPv4 and IPv6 that are in one of the states (see `table`).

    Needs no privilege. Raises CollectError, which says what netstat said.
    """
    text = "\n".join(read_netstat(family, netstat) for family in FAMILIES)
    return [row for row in parse_rows(text, protocol) if row.state in states]


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

    An address that cannot be read costs itself, with a warning: what listens on its port is reported without an
    interface, and a connection, which is its addresses, is left out. Raises CollectError if none can be read of any.
    """
    unreadable = readable = 0
    for line in text.split("\n"):
        name, *columns = line.split() or [""]
        version = name[len(protocol) :]
        if name.startswith(protocol) and version in WILDCARDS and len(columns) >= 4:
            try:
                row = _row(protocol, version, columns[2], columns[3], "".join(columns[4:5]))
            except CollectError as error:
                logger.warning("a socket left out of the report: %s", error)
                unreadable += 1
                continue
            if row is not None:
                readable += 1
                yield row
    if unreadable and not readable:
        raise CollectError("netstat printed nothing but addresses that cannot be read")


def read_interfaces(netstat: str = NETSTAT) -> list[Interface]:
    """Return every interface and what it has counted; raises CollectError, which says what netstat said.

    It is asked for interfaces (-i) and bytes (-b) in numbers (-n), without which it asks the DNS for each address.
    """
    try:
        return list(parse_interfaces(read_output([netstat, "-ibn"], PATIENCE)))
    except CollectError as error:
        raise CollectError(f"{netstat} {error}") from error


def parse_interfaces(text: str) -> Iterator[Interface]:
    """Yield the interfaces in netstat's output; raises CollectError where it is no table of them.

    The rows of an interface's addresses repeat its counters. Not every interface has a hardware address, so that
    columns are counted from the end.
    """
    heading, *lines = text.split("\n")
    if heading.split()[-len(COUNTED) :] != COUNTED:
        raise CollectError("printed no table of interfaces")
    for line in lines:
        columns = line.split()
        link = LINK.fullmatch(columns[2]) if len(columns) >= 3 + len(COUNTED) else None
        if link:
            yield Interface(_whole_name(columns[0], int(link[1])), _counters(columns[-len(COUNTED) :], line), link[1])


def _counters(columns: Sequence[str], line: str) -> Counters:
    try:
        packets_in, _, bytes_in, packets_out, _, bytes_out, _ = map(int, columns)
    except ValueError as error:
        raise CollectError(f"printed counters that are no numbers: {line.strip()}") from error
    if bytes_in == 0 and packets_in >= UNBELIEVABLE:
        raise CollectError(f"printed no bytes for {packets_in} packets received, so that they are not counted here")
    return Counters(bytes_in, bytes_out, packets_in, packets_out)


def _whole_name(printed: str, index: int) -> str:
    """Return an interface's name, which older versions cut; `*` after it says that it is down."""
    printed = printed.rstrip("*")
    try:
        name = name_of(socket.if_indextoname(index))
    except OSError:  # it is gone already
        return printed
    return name if name.startswith(printed) else printed


def _row(protocol: str, version: str, local: str, remote: str, tcp_state: str) -> SocketRow | None:
    state = _udp_state(remote) if protocol == "udp" else TCP_STATES.get(tcp_state)
    if state is None or local.endswith(".*"):
        return None
    if state == ESTABLISHED:
        local_ip, local_port, zone = parse_endpoint(local, version)
        remote_ip, remote_port, _ = parse_endpoint(remote, version)
        return SocketRow(state, local_ip, local_port, remote_ip, remote_port, zone)
    local_ip, local_port, zone = _listening(local, version)
    return SocketRow(state, local_ip, local_port, WILDCARDS[version], 0, zone)


def _listening(printed: str, version: str) -> Endpoint:
    """Return where something listens; "" for an address that cannot be read, after a port that can."""
    try:
        return parse_endpoint(printed, version)
    except CollectError as error:
        port = printed.rpartition(".")[2]
        if not (port.isascii() and port.isdigit()):
            raise
        logger.warning("the interface of port %s left out of the report: %s", port, error)
        return "", int(port), ""


def _udp_state(remote: str) -> int:
    return UNCONNECTED if remote.endswith(".*") else ESTABLISHED


def parse_endpoint(printed: str, version: str) -> Endpoint:
    """Return what netstat prints as `address.port`, with `*` for any address; raises CollectError.

    A link-local address has the interface it is on after a `%`.
    """
    address, _, port = printed.rpartition(".")
    address, _, zone = address.partition("%")
    try:
        ip = ip_address(WILDCARDS[version] if address == "*" else address)
        return str(getattr(ip, "ipv4_mapped", None) or ip), int(port), zone
    except ValueError as error:
        raise CollectError(f"netstat printed {printed!r}, which is no address and port") from error

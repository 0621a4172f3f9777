"""A row of the kernel's socket table, in the one shape that every reader returns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

# The kernel's own numbers (include/net/tcp_states.h): /proc prints them in hex, INET_DIAG masks are 1 << state.
ESTABLISHED = 1  # TCP: connected; UDP: connect() was called, so only its peer reaches it
UNCONNECTED = 7  # UDP: bound, and anybody can send to it (TCP_CLOSE, which TCP sockets in the table never have)
LISTEN = 10

MAPPED = "::ffff:"  # how an IPv4 address looks through a dual-stack IPv6 socket (RFC 4291, 2.5.5.2)


class SocketRow(NamedTuple):
    """A TCP or UDP socket; addresses are IPv4 or lower-case compressed IPv6, never IPv4 in IPv6.

    Without a peer `remote_port` is 0, and `remote_ip` means nothing.
    """

    state: int
    local_ip: str
    local_port: int
    remote_ip: str
    remote_port: int


# reader("tcp" or "udp", states) returns the rows of both address families that are in one of the states (duplicates do
# no harm), or raises CollectError.
Reader = Callable[[str, Collection[int]], list[SocketRow]]


def unmapped(address: str) -> str:
    """Return the IPv4 address inside an IPv4-mapped IPv6 one, and any other address as it is."""
    return address[len(MAPPED) :] if address.startswith(MAPPED) and "." in address else address

"""A row of the kernel's socket table, in the one shape that every reader returns.

Linux hands out no table of one instant, but pieces: some 450 sockets by netlink, some 27 lines from /proc. It goes on
by position in a hash chain (with UDP from /proc: in the whole table), so that what follows a socket that is closed
between two pieces can be passed over, once. It does not say so, and a second pass would count what came meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

# The kernel's own numbers (include/net/tcp_states.h): /proc prints them in hex, INET_DIAG masks are 1 << state.
ESTABLISHED = 1  # TCP: connected; UDP: connect() was called, so only its peer reaches it
UNCONNECTED = 7  # UDP: bound, and anybody can send to it (TCP_CLOSE, which TCP sockets in the table never have)
LISTEN = 10

MAPPED = "::ffff:"  # how an IPv4 address looks through a dual-stack IPv6 socket (RFC 4291, 2.5.5.2)


class SocketRow(NamedTuple):
    """A TCP or UDP socket; addresses are IPv4 or lower-case compressed IPv6, never IPv4 in IPv6.

    Without a peer `remote_port` is 0, and `remote_ip` means nothing. `bound_to` is the interface that the socket is
    bound to (SO_BINDTODEVICE, or an address on one link), "" for none or where the reader cannot know, as from /proc.
    """

    state: int
    local_ip: str
    local_port: int
    remote_ip: str
    remote_port: int
    bound_to: str = ""


class LocalEnd(NamedTuple):
    """Where sockets end on this machine: an address, and the interface they are bound to or ""."""

    local_ip: str
    bound_to: str


class Table(NamedTuple):
    """What one look at a protocol's sockets gave.

    Where `rows` hold only a sample of the connections, `connections` is how many there were, and `local_ends` are all
    ends that they had. Otherwise `connections` is None.
    """

    rows: list[SocketRow]
    connections: int | None = None
    local_ends: frozenset[LocalEnd] = frozenset()


class Reader(Protocol):
    """Reads a system's sockets; one that can sample while it reads is a `SamplingReader`, too."""

    def __call__(self, protocol: str, states: Collection[int], /) -> list[SocketRow]:
        """Return the sockets of "tcp" or "udp", of both address families, that are in one of the states.

        Duplicates do no harm. What stays open can be missing now and then (see above). Raises CollectError.
        """


class SamplingReader(Reader, Protocol):
    """Reads a system's sockets without ever holding more connections than wanted."""

    def sample(self, protocol: str, states: Collection[int], most: int) -> Table:
        """Return the same, with a uniform sample of connections if there are more than `most`; raises CollectError."""


def unmapped(address: str) -> str:
    """Return the IPv4 address inside an IPv4-mapped IPv6 one, and any other address as it is."""
    return address[len(MAPPED) :] if address.startswith(MAPPED) and "." in address else address

"""The socket table by netlink (sock_diag(7)): the kernel picks the states, and sends only these sockets, in binary."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import groupby

from defender_publisher.collectors.inet_messages import (
    IDENTITY,
    ROW_SIZE,
    STATE,
    Decoder,
    End,
    Fields,
    ends_of,
    fields_at,
    fields_of,
)
from defender_publisher.collectors.netlink import (
    ATTEMPTS,
    SOCK_DIAG,
    Interrupted,
    Kernel,
    NetlinkError,
    Run,
    dump,
    is_constant,
)
from defender_publisher.collectors.reservoir import Reservoir
from defender_publisher.collectors.table import ESTABLISHED, SocketRow, Table

TCPDIAG_GETSOCK = 18  # TCP over IPv4 and IPv6 in one pass over the big hash table, 0.35 ms on a machine of 24 GB
SOCK_DIAG_BY_FAMILY = 20  # one pass for each family
PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
FAMILIES = (socket.AF_INET, socket.AF_INET6)

ONE_PASS = struct.Struct("=52xII")  # inet_diag_req: no family (so all) and no address; states, unused
BY_FAMILY = struct.Struct("=BBxxI48x")  # inet_diag_req_v2: family, protocol, states, no address
AT_HAND = 192 * 1024  # bytes; up to some 1,500 connections are chosen from at once, and only more than that in passing
TAIL = 4096  # bytes; more than any of the kernel's hash chains takes, of which it can repeat one (see `_Connections`)


def read_table(protocol: str, states: Collection[int], most: int | None = None, kernel: Kernel | None = None) -> Table:
    """Return the sockets of "tcp" or "udp" in one of the states; of more than `most` TCP connections only a sample.

    Who asks often keeps a `kernel` of SOCK_DIAG. Needs no privilege. Raises NetlinkError.
    """
    ask = kernel.dump if kernel else partial(dump, SOCK_DIAG)
    for _ in range(ATTEMPTS - 1):
        try:
            return table_of(_runs(ask, protocol, states), most)
        except Interrupted:
            continue
    return table_of(_runs(ask, protocol, states), most)


def _runs(ask: Callable[[int, bytes, int], Iterator[Run]], protocol: str, states: Collection[int]) -> Iterator[Run]:
    mask = sum(1 << state for state in states)
    if protocol == "tcp":
        try:
            yield from ask(TCPDIAG_GETSOCK, ONE_PASS.pack(mask, 0), TCPDIAG_GETSOCK)
        except NetlinkError as error:
            if not error.permanent:
                raise
        else:
            return
    for family in FAMILIES:
        request = BY_FAMILY.pack(family, PROTOCOLS[protocol], mask)
        yield from ask(SOCK_DIAG_BY_FAMILY, request, SOCK_DIAG_BY_FAMILY)


def table_of(runs: Iterable[Run], most: int | None = None) -> Table:
    """Return the table that a dump amounts to, without ever holding more than `most` of its TCP connections."""
    decode = Decoder()
    others: list[SocketRow] = []
    connections = _Connections(most)
    for run, stride in _alike(runs):
        if run[STATE] == ESTABLISHED:
            connections.add(run, stride)
        else:
            others += map(decode.row, fields_of(run, stride))
    return connections.table(others, decode)


def _alike(runs: Iterable[Run]) -> Iterator[Run]:
    """Yield runs that hold either connections only or none; a run that has both is cut where one kind ends."""
    for run, stride in runs:
        if stride < ROW_SIZE:
            raise NetlinkError(f"a socket takes {stride} bytes instead of at least {ROW_SIZE}")
        states, start = run[STATE::stride], 0
        if is_constant(states):
            yield run, stride
            continue
        for _, group in groupby(states, ESTABLISHED.__eq__):
            end = start + sum(stride for _ in group)
            yield run[start:end], stride
            start = end


class _Connections:
    """The connections of one dump: a sample of them, how many there were, and where they ended on this machine.

    The kernel goes on after each datagram by position in a hash chain. A socket that is put at the chain's beginning
    meanwhile shifts the positions, and the next datagram begins with what was the end of the last one.
    """

    def __init__(self, most: int | None) -> None:
        self._sample = Reservoir[Fields](most)
        self._all_are_kept = most is None
        self._ends: set[End] = set()
        self._tail = b""
        self._at_hand: list[tuple[bytes, int]] = []  # runs, copied one by one: a copy that grew would move in memory
        self._held = 0  # bytes at hand

    def add(self, run: memoryview, stride: int) -> None:
        """Take a run of connections, without those that repeat the end of the last one."""
        if self._all_are_kept:
            return self._sample.fill(fields_of(run, stride))  # repeated or not, they become a set
        while len(run) and run[IDENTITY].tobytes() in self._tail:
            run = run[stride:]
        if not len(run):
            return None
        end = run[-TAIL:].tobytes()
        self._tail = end if len(end) == TAIL else (self._tail + end)[-TAIL:]
        self._ends |= ends_of(run, stride)
        if not self._sample.seen and self._held + len(run) <= AT_HAND:
            self._at_hand.append((run.tobytes(), stride))
            self._held += len(run)
            return None
        self._choose_from_those_at_hand()
        return self._sample.pass_by(len(run) // stride, lambda index: fields_at(run, index * stride))

    def _choose_from_those_at_hand(self) -> None:
        if self._at_hand:
            self._sample.begin(sum(len(run) // stride for run, stride in self._at_hand), self._one_at_hand)
            self._at_hand = []

    def _one_at_hand(self, index: int) -> Fields:
        for run, stride in self._at_hand:
            if index * stride < len(run):
                return fields_at(run, index * stride)
            index -= len(run) // stride
        raise IndexError(index)

    def table(self, others: list[SocketRow], decode: Decoder) -> Table:
        """Return the connections together with the other sockets."""
        self._choose_from_those_at_hand()
        kept, seen = self._sample.kept, self._sample.seen
        rows = others + list(map(decode.row, kept))
        if seen == len(kept):
            return Table(rows)
        return Table(rows, seen, frozenset(map(decode.end, self._ends)))

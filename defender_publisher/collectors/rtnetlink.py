"""Interfaces and their addresses by netlink (rtnetlink(7)), and the kernel's word that something about them changed."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

from defender_daemon.text import name_of
from defender_publisher.collectors.netlink import (
    AF_NETLINK,
    ATTEMPTS,
    ROUTE,
    Interrupted,
    NetlinkError,
    Run,
    attributes,
    dump,
)
from defender_publisher.snapshot import Counters, Interface

RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR = 16, 18, 20, 22
IFLA_IFNAME, IFLA_LINK, IFLA_STATS64 = 3, 5, 23
LINK = struct.Struct("=16x4xi")  # after the netlink header: ifinfomsg (family, type, interface index, ...)
LINK_SIZE = 16 + 16
INDEX = struct.Struct("=i")
STATS = struct.Struct("=4Q")  # rtnl_link_stats64: packets in and out, bytes in and out, ...
ALL_LINKS = bytes(16)
IFA_ADDRESS, IFA_LOCAL = 1, 2  # on a point-to-point link ADDRESS is the peer's, and LOCAL this machine's
ADDRESS = struct.Struct("=16xB3xI")  # after the netlink header: ifaddrmsg (family, ..., interface index)
ALL_FAMILIES = struct.pack("=B7x", socket.AF_UNSPEC)
SIZES = {int(socket.AF_INET): 4, int(socket.AF_INET6): 16}

GROUPS = 0x1 | 0x10 | 0x100  # RTMGRP_LINK (a new name), RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
SMALL = 4096  # bytes; a full buffer says as much as its content: something changed


def read_addresses() -> list[tuple[str, str]]:
    """Return every address of this network namespace with its interface's name; raises NetlinkError."""
    for _ in range(ATTEMPTS - 1):
        try:
            return list(_addresses(dump(ROUTE, RTM_GETADDR, ALL_FAMILIES, RTM_NEWADDR)))
        except Interrupted:
            continue
    return list(_addresses(dump(ROUTE, RTM_GETADDR, ALL_FAMILIES, RTM_NEWADDR)))


def read_interfaces() -> list[Interface]:
    """Return every interface of this network namespace; raises NetlinkError."""
    for _ in range(ATTEMPTS - 1):
        try:
            return list(_interfaces(dump(ROUTE, RTM_GETLINK, ALL_LINKS, RTM_NEWLINK)))
        except Interrupted:
            continue
    return list(_interfaces(dump(ROUTE, RTM_GETLINK, ALL_LINKS, RTM_NEWLINK)))


def _interfaces(runs: Iterator[Run]) -> Iterator[Interface]:
    for run, stride in runs:
        for offset in range(0, len(run), stride):
            yield parse_interface(run[offset : offset + stride])


def parse_interface(message: memoryview) -> Interface:
    """Return the interface in an RTM_NEWLINK message; raises NetlinkError where it has no counters.

    Of an interface that is one end of something IFLA_LINK is the index of the other, also in another namespace.
    """
    found = attributes(message, LINK_SIZE)
    if IFLA_IFNAME not in found or len(found.get(IFLA_STATS64, b"")) < STATS.size:
        raise NetlinkError("an interface has no name or no counters")
    (index,) = LINK.unpack_from(message)
    name = bytes(found[IFLA_IFNAME]).rstrip(b"\0").decode(errors="replace")
    packets_in, packets_out, bytes_in, bytes_out = STATS.unpack_from(found[IFLA_STATS64])
    other_end = f"@{INDEX.unpack_from(found[IFLA_LINK])[0]}" if IFLA_LINK in found else ""
    return Interface(name, Counters(bytes_in, bytes_out, packets_in, packets_out), f"{index}{other_end}")


def _addresses(runs: Iterator[Run]) -> Iterator[tuple[str, str]]:
    for run, stride in runs:
        for offset in range(0, len(run), stride):
            address, index = parse_address(run[offset : offset + stride])
            try:
                yield address, name_of(socket.if_indextoname(index))
            except OSError:  # the interface is gone already
                continue


def parse_address(message: memoryview) -> tuple[str, int]:
    """Return the address in an RTM_NEWADDR message, and its interface's index."""
    family, index = ADDRESS.unpack_from(message)
    found = attributes(message, ADDRESS.size)
    packed = found.get(IFA_LOCAL) or found[IFA_ADDRESS]
    return socket.inet_ntop(family, packed[: SIZES[family]]), index


class Changes:
    """Hears from the kernel when addresses or interfaces change; asking costs one system call and wakes nobody up."""

    def __init__(self) -> None:
        """Begin to listen; raises OSError where that is not allowed."""
        self._socket = socket.socket(AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, ROUTE)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
            self._socket.bind((0, GROUPS))
        except OSError:
            self._socket.close()
            raise

    def happened(self) -> bool:
        """Tell whether there was a change since the last time this was asked."""
        heard = False
        while True:
            try:
                self._socket.recv(1)  # the rest of the message is thrown away
            except BlockingIOError:
                return heard
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # more changes than the buffer holds
                    raise
            heard = True

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

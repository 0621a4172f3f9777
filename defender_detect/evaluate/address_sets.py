"""Sets of IP addresses, given as CIDRs: fast to ask, and the same for an address however it is written."""

from __future__ import annotations

import ipaddress
import socket
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache

MAPPED, LAST_MAPPED = 0xFFFF << 32, (0x10000 << 32) - 1  # ::ffff:0:0/96, IPv4 addresses written as IPv6
REMEMBERED_ADDRESSES = 16_384  # about 3 MB
LONGEST_ADDRESS = 45  # characters, without a zone; whatever is longer is not remembered


class AddressSet:
    """The addresses of some CIDRs. No IPv4 address is in an IPv6 CIDR, nor the reverse; `::ffff:192.0.2.1` is IPv4."""

    def __init__(self, cidrs: Iterable[str]) -> None:
        """Merge the CIDRs into ranges, which begin at the even places of one list and end before the odd ones."""
        self._bounds: list[int] = []
        for first, last in sorted(each for cidr in cidrs for each in ranges_of(cidr)):
            if self._bounds and first <= self._bounds[-1]:
                self._bounds[-1] = max(self._bounds[-1], last + 1)
            else:
                self._bounds += [first, last + 1]

    def __contains__(self, address: str) -> bool:
        """Tell whether an address is in the set; raise ValueError if it is none."""
        return bisect_right(self._bounds, find_number(address)) % 2 == 1


def ranges_of(cidr: str) -> list[tuple[int, int]]:
    """Return the first and the last address of a CIDR as numbers; raise ValueError if it is none."""
    network = ipaddress.ip_network(cidr, strict=False)
    first, last = int(network.network_address), int(network.broadcast_address)
    if network.version == 4:
        return [(MAPPED + first, MAPPED + last)]
    if first < MAPPED and last >= LAST_MAPPED:
        return [(first, MAPPED - 1), *([(LAST_MAPPED + 1, last)] if last > LAST_MAPPED else [])]
    return [(first, last)]


def find_number(address: str) -> int:
    """Return what `number_of` does, and remember it, but not the zone, which may be as long as a report."""
    plain = address if len(address) <= LONGEST_ADDRESS else address.partition("%")[0]
    return remembered_number_of(plain) if len(plain) <= LONGEST_ADDRESS else number_of(plain)


def number_of(address: str) -> int:
    """Return an address, with or without a zone, as a number; that of an IPv4 address as if it were written as IPv6."""
    try:
        if ":" in address:
            return int.from_bytes(socket.inet_pton(socket.AF_INET6, address.partition("%")[0]), "big")
        return MAPPED + int.from_bytes(socket.inet_pton(socket.AF_INET, address), "big")
    except OSError as error:
        raise ValueError(f"{address!a} is no IP address") from error


remembered_number_of = lru_cache(REMEMBERED_ADDRESSES)(number_of)

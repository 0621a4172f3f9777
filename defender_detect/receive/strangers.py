"""Strangers: connections that have not shown a certificate yet. They are few, and make room for each other."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import defaultdict
from typing import Any

PREFIX = 64  # bits of an IPv6 address that one household has; whoever has one has all the addresses in it


class Strangers:
    """Connections under way, by where they come from.

    When there are too many, the oldest of the network with most of them goes: whoever opens a thousand connections
    keeps out himself, and only those who share his address.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: defaultdict[str, dict[asyncio.Task[Any], None]] = defaultdict(dict)

    def __len__(self) -> int:
        return sum(map(len, self._tasks.values()))

    def add(self, task: asyncio.Task[Any], address: str) -> None:
        """Remember a connection until its task ends or `remove` is called; make room for it if there is none."""
        while len(self) >= self._most and self.drop_one():
            pass
        self._tasks[network_of(address)][task] = None

    def remove(self, task: asyncio.Task[Any]) -> None:
        """Forget a connection, which is no stranger's any more."""
        for network, tasks in list(self._tasks.items()):
            tasks.pop(task, None)
            if not tasks:
                del self._tasks[network]

    def drop_one(self) -> bool:
        """End a connection to make room; return whether there was one."""
        if not self._tasks:
            return False
        most: dict[asyncio.Task[Any], None] = max(self._tasks.values(), key=len)
        task = next(iter(most))
        self.remove(task)
        task.cancel()
        return True


def network_of(address: str) -> str:
    """Return what those who can choose their address within a network have in common."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if parsed.version == 4 or parsed.ipv4_mapped:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, PREFIX), strict=False))

"""Network interfaces: which one an address is on, and the addresses there are."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from defender_publisher.collectors.names import interface_names

WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound to


def interface_of(local_ip: str, names: Mapping[str, str], bound_to: str = "") -> str:
    """Return the interface a socket is bound to: its name, "0.0.0.0" or "::" for all of them, "" when unknown.

    What it is bound to by name wins over what its address tells. The wildcards are written as the first AWS agent
    writes them. Only 127.0.0.1 of 127.0.0.0/8 is in the table.
    """
    if bound_to:
        return bound_to
    if local_ip in WILDCARDS:
        return local_ip
    return names.get("127.0.0.1" if local_ip.startswith("127.") else local_ip, "")


def interface_addresses(procfs_path: str = "/proc") -> list[str]:
    """Return the addresses this machine has, each once, sorted as text, without loopback ones and without zones."""
    return sorted(address for address in interface_names(procfs_path) if not ip_address(address).is_loopback)

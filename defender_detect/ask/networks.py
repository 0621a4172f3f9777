"""The networks that hold the addresses that were seen: few enough to be read, and no wider than what was seen says."""

from __future__ import annotations

import ipaddress
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Steps = tuple[tuple[int, int], ...]

SHARE = 0.99  # of what was seen; the rest are the addresses that were seen least
MOST = 200  # networks; a list that nobody reads guards nobody
# A network of so many bits takes the place of so many others in it: a provider's servers come from a few blocks.
WIDENING: Mapping[int, Steps] = {4: ((24, 2), (16, 4)), 6: ((48, 2), (32, 4))}
WIDER: Mapping[int, Steps] = {4: ((16, 2), (12, 2), (8, 2)), 6: ((32, 2), (24, 2), (16, 2))}  # where there are too many
# Where the next address is another host's choice: in a local network by DHCP, in IPv6 by each host itself.
NEIGHBORS: Mapping[int, int] = {4: 24, 6: 64}
LOCAL = tuple(
    map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8"))
)


def join_addresses(seen: Mapping[str, int], share: float = SHARE, most: int = MOST) -> list[str]:
    """Return CIDRs that hold `share` of what was seen, at most `most`; none where that takes wider networks than /8.

    `seen` says how often each address was seen. What is no address is left out.
    """
    networks = {_network_of(address) for address in _most_seen(_parse(seen), share)}
    networks = _widen(networks, WIDENING)
    for index in range(len(WIDER[4])):
        if len(networks) <= most:
            break
        networks = _widen(networks, {version: (steps[index],) for version, steps in WIDER.items()})
    return list(map(str, _collapsed(networks))) if len(networks) <= most else []


def _parse(seen: Mapping[str, int]) -> Counter[Address]:
    found: Counter[Address] = Counter()
    for text, count in seen.items():
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            continue
        found[getattr(address, "ipv4_mapped", None) or address] += count
    return found


def _most_seen(seen: Counter[Address], share: float) -> Iterable[Address]:
    """Yield the addresses that were seen most often, until they are `share` of all."""
    wanted = math.ceil(share * sum(seen.values()))
    for address, count in seen.most_common():
        if wanted <= 0:
            return
        wanted -= count
        yield address


def _network_of(address: Address) -> Network:
    is_shared = address.version == 6 or any(address in network for network in LOCAL)
    return ipaddress.ip_network((address, NEIGHBORS[address.version] if is_shared else 32), strict=False)


def _widen(networks: set[Network], steps: Mapping[int, Steps]) -> set[Network]:
    """Replace the networks that lie together in a wider one by that, where they are enough."""
    for version, of_version in steps.items():
        for bits, least in of_version:
            above = {each: each.supernet(new_prefix=bits) for each in networks if _is_narrower(each, version, bits)}
            wide = {network for network, number in Counter(above.values()).items() if number >= least}
            networks = {each for each in networks if above.get(each) not in wide} | wide
    return networks


def _is_narrower(network: Network, version: int, bits: int) -> bool:
    return network.version == version and network.prefixlen > bits


def _collapsed(networks: set[Network]) -> Iterable[Network]:
    yield from ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv4Network))
    yield from ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv6Network))

"""Hosts: the names and addresses by which things reach this machine, and where its broker listens for them."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from defender_detect.errors import AuthorityError

LOCAL = ("localhost", "127.0.0.1", "::1")  # Detect's own connection to its broker goes there
LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104 - what `init` says in so many words
LONGEST_NAME = 253  # characters, in DNS
# Addresses of documentation (RFC 5737, 3849): the kernel says from where it would send there, and nothing is sent.
ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


@dataclass(frozen=True)
class Hosts:
    """What a server's certificate is for, in the order of preference, and the address that the broker listens on."""

    names: tuple[str, ...]
    listening: str

    @property
    def endpoint(self) -> str:
        """Where things connect to."""
        return self.names[0]


def find_hosts(given: Sequence[str]) -> Hosts:
    """Return the names and addresses that were given, or else those of this machine.

    One address of this machine alone, or the loopback alone, is where the broker listens; otherwise everywhere.
    """
    names = list(dict.fromkeys(map(normal, given))) or own_hosts()
    listening = EVERYWHERE
    if given and all(map(is_loopback, names)):
        listening = names[0] if is_own_address(names[0]) else LOOPBACK
    elif len(given) == 1 and is_own_address(names[0]):
        listening = names[0]
    return Hosts(tuple(dict.fromkeys([*names, *LOCAL])), listening)


def normal(text: str) -> str:
    """Return a name or an address as a certificate has it; raise AuthorityError for what is neither."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(text)
        if address.is_unspecified:
            raise AuthorityError(
                f"--listen must be a name or an address that things reach this machine by, got {text}, which is none"
            )
        return str(address)
    try:
        name = text.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        name = ""
    levels = name.split(".")
    if not name or len(name) > LONGEST_NAME or not all(each.replace("-", "").isalnum() for each in levels):
        raise AuthorityError(f"--listen must be a host's name or address, got {text[:LONGEST_NAME]!a}")
    return name


def own_hosts() -> list[str]:
    """Return the addresses and names of this machine, the address that other machines reach it by first."""
    routed = [address for family, elsewhere in ELSEWHERE if (address := _address_towards(family, elsewhere))]
    name = socket.gethostname()
    found = [*routed, *_names(name), *_addresses(name)]
    return list(dict.fromkeys(found)) or [LOCAL[0]]


def is_loopback(host: str) -> bool:
    """Tell whether a host is reached from this machine only."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == LOCAL[0] or host.endswith("." + LOCAL[0])


def is_own_address(host: str) -> bool:
    """Tell whether a host is an address, and one of this machine's."""
    try:
        address = ipaddress.ip_address(host)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except (ValueError, OSError):
        return False
    return True


def _address_towards(family: int, elsewhere: str) -> str | None:
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((elsewhere, 9))
        return _useful(str(probe.getsockname()[0]))
    return None


def _addresses(name: str) -> list[str]:
    with contextlib.suppress(OSError, UnicodeError):
        found = (str(each[4][0]) for each in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))
        return [address for each in found if (address := _useful(each))]
    return []


def _names(name: str) -> list[str]:
    """Return the machine's name, with its domain if it has one, and as it is found without a DNS server (mDNS)."""
    plain = name.partition(".")[0]
    return [*_valid([socket.getfqdn(name), name, f"{plain}.local"])]


def _valid(names: Iterable[str]) -> Iterable[str]:
    for each in names:
        with contextlib.suppress(AuthorityError):
            valid = normal(each)
            if not is_loopback(valid):
                yield valid


def _useful(text: str) -> str | None:
    address = ipaddress.ip_address(text.partition("%")[0])
    return None if address.is_loopback or address.is_link_local else str(address)

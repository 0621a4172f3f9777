"""A report: its fields with their long and short names, types and limits.

Everybody imports from here, so these stay: `Report` and the structs in it, `SHORT_NAMES`, `LARGEST_PAYLOAD`,
`MOST_DIGITS`, `fits`, `is_address`, `address_of` and `Malformed`. The source is
https://docs.aws.amazon.com/iot-device-defender/latest/devguide/detect-device-side-metrics.html; what it does not say
is taken as agents send it: a field that is `null` is one that is not there.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address
from types import MappingProxyType
from typing import Annotated, Optional, Union

import msgspec
from msgspec import Meta

from device_defender.definition import that

LARGEST_PAYLOAD = 128 * 1024  # bytes; AWS IoT refuses a larger message
MOST_DIGITS = 15  # of a number in a custom metric
TOO_LARGE: int = 10**MOST_DIGITS
ID_WORDS = "a positive integer of at most 40 digits"
LARGEST_ID = 10**40 - 1  # more than any database holds, and little enough to log
LARGEST_FLOAT = 1.7976931348623157e308  # so that infinity is too large, and NaN is not small enough
LARGEST_PORT = 65535
REMEMBERED = 50_000  # addresses that were taken apart; things talk to the same ones again and again
LONGEST_REMEMBERED = 64  # characters; an address with a zone may be as long as a report

SHORT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "header": "hed",
        "report_id": "rid",
        "version": "v",
        "metrics": "met",
        "custom_metrics": "cmet",
        "tcp_connections": "tc",
        "established_connections": "ec",
        "connections": "cs",
        "remote_addr": "rad",
        "local_port": "lp",
        "local_interface": "li",
        "total": "t",
        "listening_tcp_ports": "tp",
        "listening_udp_ports": "up",
        "ports": "pts",
        "port": "pt",
        "interface": "if",
        "network_stats": "ns",
        "bytes_in": "bi",
        "bytes_out": "bo",
        "packets_in": "pi",
        "packets_out": "po",
    }
)


class Malformed(ValueError):
    """A report that breaks one of the published rules: where, which one, and what was found."""

    def __init__(self, path: str, rule: str, found: str = "") -> None:
        super().__init__(f"{path} {rule}" + (f", got {found}" if found else ""))
        self.path, self.rule, self.found = path, rule, found


@lru_cache(REMEMBERED)
def _address_of(text: str) -> Optional[str]:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= LARGEST_PORT):
        return None
    is_bracketed = host[:1] == "[" and host[-1:] == "]"
    address = host[1:-1] if is_bracketed else host
    return address if _is_address(address, ":" if is_bracketed else "") else None


def address_of(text: str) -> Optional[str]:
    """Return the address in `ip:port`, with or without the brackets of an IPv6 address; None where there is none."""
    return _address_of(text) if len(text) <= LONGEST_REMEMBERED else _address_of.__wrapped__(text)


def addresses_of(texts: Sequence[str]) -> list[Optional[str]]:
    """Return the address of each, as `address_of` does one by one; those of a report are known, mostly."""
    are_short = max(map(len, texts), default=0) <= LONGEST_REMEMBERED
    return list(map(_address_of if are_short else address_of, texts))


def is_address(text: str) -> bool:
    """Tell whether a string is an IPv4 or IPv6 address, with or without a zone."""
    return _is_known_address(text) if len(text) <= LONGEST_REMEMBERED else _is_address(text)


def _is_address(text: str, part: str = "") -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return part in text


_is_known_address = lru_cache(REMEMBERED)(_is_address)


def fits(number: float) -> bool:
    """Tell whether a custom metric can have a number: Device Defender takes 15 digits.

    Digits after the point can be rounded away, and need not be counted; those before it cannot.
    """
    return -TOO_LARGE < number < TOO_LARGE


# A whole number may be written as 22.0: JSON knows one kind of number only.
Port = Annotated[
    Union[Annotated[int, Meta(ge=1, le=LARGEST_PORT)], Annotated[float, Meta(ge=1, le=LARGEST_PORT, multiple_of=1)]],
    that(None, f"an integer from 1 to {LARGEST_PORT}"),
]
PortOrZero = Annotated[  # AWS's agent in C writes it as text in CBOR
    Union[
        Annotated[int, Meta(ge=0, le=LARGEST_PORT)],
        Annotated[float, Meta(ge=0, le=LARGEST_PORT, multiple_of=1)],
        Annotated[str, Meta(pattern=r"^[0-9]{1,5}$(?!\n)")],
    ],
    that(None, f"an integer from 0 to {LARGEST_PORT}"),
]
Count = Annotated[
    Union[Annotated[int, Meta(ge=0)], Annotated[float, Meta(ge=0, le=LARGEST_FLOAT)]],
    that(None, "a number of at least 0"),
]
Number = Annotated[
    Union[int, Annotated[float, Meta(ge=-LARGEST_FLOAT, le=LARGEST_FLOAT)]],
    that(None, f"a number of at most {MOST_DIGITS} digits"),
]
ADDRESS_WORDS = f"a string of the form ip:port or [ipv6]:port with a port of at most {LARGEST_PORT}"
RemoteAddress = Annotated[str, that(address_of, ADDRESS_WORDS)]
Address = Annotated[str, that(is_address, "an IPv4 or IPv6 address")]


class Block(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """An object of a report; a field that is None is not in it."""


class Header(Block, frozen=True):
    """Which report this is."""

    report_id: Annotated[int, Meta(ge=1), that(None, ID_WORDS)]
    version: Annotated[
        str, Meta(pattern=r"^[0-9]{1,9}\.[0-9]{1,9}$(?!\n)"), that(None, 'a string of the form "Major.Minor"')
    ]


class Connection(Block, frozen=True):
    """A connection that is established."""

    remote_addr: RemoteAddress
    local_port: Optional[PortOrZero] = None
    local_interface: Optional[str] = None


class Connections(Block, frozen=True):
    """The connections there are; `total` is true where the list was sampled."""

    connections: Optional[list[Connection]] = None
    total: Optional[Count] = None


class TcpConnections(Block, frozen=True):
    """The connections by their state, of which AWS has one."""

    established_connections: Optional[Connections] = None


class ListeningPort(Block, frozen=True):
    """A port that something listens on."""

    port: Port
    interface: Optional[str] = None


class ListeningPorts(Block, frozen=True):
    """The ports that something listens on."""

    ports: Optional[list[ListeningPort]] = None
    total: Optional[Count] = None


class NetworkStats(Block, frozen=True):
    """What went through the interfaces since the last report."""

    bytes_in: Optional[Count] = None
    bytes_out: Optional[Count] = None
    packets_in: Optional[Count] = None
    packets_out: Optional[Count] = None


class Metrics(Block, frozen=True):
    """The device-side metrics."""

    tcp_connections: Optional[TcpConnections] = None
    listening_tcp_ports: Optional[ListeningPorts] = None
    listening_udp_ports: Optional[ListeningPorts] = None
    network_stats: Optional[NetworkStats] = None


class CustomValue(Block, frozen=True):
    """The value of a custom metric: exactly one of these, whose names are the same in a report with short names."""

    number: Optional[Number] = None
    number_list: Optional[list[Number]] = None
    string_list: Optional[list[str]] = None
    ip_list: Optional[list[Address]] = None


CustomMetric = Annotated[list[CustomValue], Meta(min_length=1, max_length=1)]


class Report(Block, frozen=True):
    """A report, with at least one of `metrics` and `custom_metrics`."""

    header: Header
    metrics: Optional[Metrics] = None
    custom_metrics: Optional[dict[str, Optional[CustomMetric]]] = None

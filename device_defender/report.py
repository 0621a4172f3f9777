"""A report: its fields with their long and short names, types and limits, and how a document becomes one.

Everybody imports from here, so these stay: `Report` and the structs in it, `SHORT_NAMES`, `LARGEST_PAYLOAD`,
`MOST_DIGITS`, `fits`, `is_address`, `address_of`, `read_report`, `read_json`, `Reading` and `Malformed`. The source is
https://docs.aws.amazon.com/iot-device-defender/latest/devguide/detect-device-side-metrics.html; what it does not say
is taken as agents send it: `null` is what is not there, and a key that nobody knows says nothing.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from ipaddress import ip_address
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple, Optional, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from device_defender.metrics import AWS_PREFIX, NAME_WORDS, TYPES, is_custom_metric_name
from device_defender.validation import describe
from device_defender.wording import key_path, shown, that

LARGEST_PAYLOAD = 128 * 1024  # bytes; AWS IoT refuses a larger message
MOST_DIGITS = 15  # of a number in a custom metric
TOO_LARGE: int = 10**MOST_DIGITS
ID_WORDS = "a positive integer of at most 40 digits"
LARGEST_ID = 10**40 - 1  # more than any database holds, and little enough to log
LARGEST_FLOAT = 1.7976931348623157e308  # so that infinity is too large, and NaN is not small enough
LARGEST_PORT = 65535
REMEMBERED = 50_000  # addresses that were taken apart; things talk to the same ones again and again
AT_ONCE = 256  # items of a list that are looked at together; one by one takes ten times as long
LONGEST_REMEMBERED = 64  # characters; an address with a zone may be as long as a report
VALUE_KINDS = tuple(each.in_report for each in TYPES.values())
NAME_RULE = f"must name its metrics with {NAME_WORDS}, and none {AWS_PREFIX}..., which AWS keeps for itself"

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
LONG_NAMES: Mapping[str, str] = MappingProxyType({short: long for long, short in SHORT_NAMES.items()})


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
PortOrZero = Annotated[
    Union[Annotated[int, Meta(ge=0, le=LARGEST_PORT)], Annotated[float, Meta(ge=0, le=LARGEST_PORT, multiple_of=1)]],
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


class Reading(NamedTuple):
    """A report that was read, and a sentence for each custom metric that is left out of it."""

    report: Report
    left_out: tuple[str, ...] = ()


def read_json(payload: bytes) -> Optional[Reading]:
    """Return an ordinary report in JSON; None for what has to be looked at closely, by `read_report`."""
    short = b'"header"' not in payload
    try:
        return _finished(_decoder(short).decode(payload), short)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def read_report(document: Any) -> Reading:
    """Return a report that JSON or CBOR was decoded to; raise Malformed for the first rule that it breaks."""
    short = isinstance(document, dict) and "hed" in document and "header" not in document
    definition = _definition(Report, short)
    try:
        return _finished(msgspec.convert(document, definition), short)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter for half a surrogate pair in a key
        return _finished(msgspec.convert(_cleaned(definition, document, "", short), definition), short)


def find_report_id(document: Any) -> Optional[int]:
    """Return the report id of a decoded report, however wrong the rest is; None where there is none to speak of."""
    for header, report_id in (("header", "report_id"), ("hed", "rid")):
        block = document.get(header) if isinstance(document, dict) else None
        found = block.get(report_id) if isinstance(block, dict) else None
        if isinstance(found, int) and not isinstance(found, bool) and 0 < found <= LARGEST_ID:
            return found
    return None


def _finished(found: Any, short: bool) -> Reading:
    """Return a report with long names, after what no type can say has been looked at."""
    report: Report = msgspec.convert(found, Report, from_attributes=True) if short else found
    if report.metrics is None and report.custom_metrics is None:
        raise Malformed("the report", "must have at least one of metrics and custom_metrics")
    if report.header.report_id > LARGEST_ID:
        raise Malformed(_path("header.report_id", short), f"must be {ID_WORDS}", shown(report.header.report_id))
    _check_addresses(report, short)
    return _without_what_is_not_shown(report, short) if report.custom_metrics else Reading(report)


def _check_addresses(report: Report, short: bool) -> None:
    tcp = report.metrics.tcp_connections if report.metrics else None
    established = tcp.established_connections if tcp else None
    for index, each in enumerate(established.connections or () if established else ()):
        if address_of(each.remote_addr) is None:
            place = f"metrics.tcp_connections.established_connections.connections[{index}].remote_addr"
            raise Malformed(_path(place, short), f"must be {describe(RemoteAddress)}", shown(each.remote_addr))


def _without_what_is_not_shown(report: Report, short: bool) -> Reading:
    """Leave out custom metrics that are null, and with a sentence those whose numbers have too many digits."""
    found = report.custom_metrics or {}
    left_out = {name: _find_long_number(name, metric, short) for name, metric in found.items() if metric is not None}
    sentences = tuple(sentence for sentence in left_out.values() if sentence)
    if not sentences and len(left_out) == len(found):
        return Reading(report)
    kept = {name: found[name] for name, sentence in left_out.items() if not sentence}
    return Reading(msgspec.structs.replace(report, custom_metrics=kept), sentences)


def _find_long_number(name: str, metric: list[CustomValue], short: bool) -> str:
    """Return a sentence about a custom metric with too long a number, or nothing; raise Malformed for a wrong one."""
    if not is_custom_metric_name(name):
        raise Malformed(_path("custom_metrics", short), NAME_RULE, shown(name))
    (value,) = metric
    kinds = [kind for kind in VALUE_KINDS if getattr(value, kind) is not None]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none of them"
        raise Malformed(_value_path(name, short), f"must have exactly one of {', '.join(VALUE_KINDS)}", found)
    for index, each in enumerate(value.ip_list or ()):
        if not is_address(each):
            place = f"{_value_path(name, short)}.ip_list[{index}]"
            raise Malformed(place, f"must be {describe(Address)}", shown(each))
    for number in (value.number,) if value.number is not None else value.number_list or ():
        if not -TOO_LARGE < number < TOO_LARGE:
            rule = f"its numbers must have at most {MOST_DIGITS} digits"
            return f"{_value_path(name, short)} is left out: {rule}, got {shown(number)}"
    return ""


def _path(path: str, short: bool) -> str:
    """Return a path in the report's own names; it goes no further than to the names of custom metrics."""
    return re.sub(r"[a-z_]+", lambda name: SHORT_NAMES[name[0]], path) if short else path


def _value_path(name: str, short: bool) -> str:
    return key_path(_path("custom_metrics", short), name) + "[0]"


def _cleaned(annotation: Any, value: Any, path: str, short: bool) -> Any:
    """Return what a decoder returned without the keys that nobody knows; raise Malformed where it is of another type.

    Most of it takes msgspec's time, not Python's: what is right as a whole is not gone through.
    """
    if _converts(value, annotation):
        return value
    inner = _inner(annotation)
    if isinstance(value, dict) and _is_struct(inner):
        value = _cleaned_object(inner, value, path, short)
    elif isinstance(value, dict) and get_origin(inner) is dict:
        if not all(isinstance(name, str) for name in value):
            raise Malformed(path, NAME_RULE, shown(next(name for name in value if not isinstance(name, str))))
        each = get_args(inner)[1]
        value = {name: _cleaned(each, metric, key_path(path, name), short) for name, metric in value.items()}
    elif isinstance(value, list) and get_origin(inner) is list:
        parts = [_cleaned_items(inner, value, start, path, short) for start in range(0, len(value), AT_ONCE)]
        value = [each for part in parts for each in part]
    if not _converts(value, annotation):
        raise Malformed(path or "the report", f"must be {describe(annotation)}", shown(value))
    return value


def _cleaned_items(kind: Any, value: list[Any], start: int, path: str, short: bool) -> list[Any]:
    items = value[start : start + AT_ONCE]
    if _converts(items, kind):
        return items
    (each,) = get_args(kind)
    return [_cleaned(each, item, f"{path}[{index}]", short) for index, item in enumerate(items, start)]


def _cleaned_object(struct: type[msgspec.Struct], value: dict[Any, Any], path: str, short: bool) -> dict[str, Any]:
    """Return an object's fields; refuse one with the other style's name, and the lack of a required one."""
    fields = msgspec.structs.fields(struct)
    for each in fields:
        ours, theirs = each.encode_name, each.name if short else SHORT_NAMES.get(each.name)
        if theirs in value and theirs != ours:
            style = "short" if short else "long"
            rule = f"must be called {ours}, because the report's header has a {style} name"
            raise Malformed(key_path(path, theirs), rule)
        if each.required and ours not in value:
            raise Malformed(key_path(path, ours), "is missing")
    present = [each for each in fields if each.encode_name in value]
    return {
        name: _cleaned(each.type, value[name], key_path(path, name), short)
        for each, name in ((each, each.encode_name) for each in present)
    }


def _converts(value: Any, annotation: Any) -> bool:
    try:
        msgspec.convert(value, annotation)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter for half a surrogate pair in a key
        return False
    return True


def _is_struct(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)


def _inner(annotation: Any) -> Any:
    """Return the type that a value has, without what is said about it, where it is one beside None."""
    kinds = [each for each in get_args(annotation) if each is not type(None)]
    if get_origin(annotation) is Annotated or (get_origin(annotation) is Union and len(kinds) == 1):
        return _inner(kinds[0])
    return annotation


@cache
def _definition(annotation: Any, short: bool) -> Any:
    """Return a type as it is in reports with long or with short names."""
    origin: Any = get_origin(annotation)
    if not short or not (origin or _is_struct(annotation)):
        return annotation
    if origin:
        return origin[tuple(_definition(each, short) for each in get_args(annotation))]
    found = msgspec.structs.fields(annotation)
    fields = [(each.name, _definition(each.type, short), each.default) for each in found]
    options: dict[str, Any] = {"forbid_unknown_fields": True, "kw_only": True, "gc": False}
    return msgspec.defstruct(annotation.__name__, fields, rename=SHORT_NAMES, **options)


@cache
def _decoder(short: bool) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(_definition(Report, short))

"""How a report is read: what JSON or CBOR holds becomes a `Report`, or is refused with the place and the rule.

Ordinary reports take msgspec's time, not Python's. What is refused, or has keys that nobody knows, is looked at again,
closely. A report is refused only for what AWS refuses; what AWS would take and not show is left out with a sentence.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import msgspec

from defender_detect.judge.encodings import as_message_pack, without_self_description
from device_defender.definition import is_struct
from device_defender.metrics import AWS_PREFIX, NAME_WORDS, TYPES, is_custom_metric_name
from device_defender.report import (
    ID_WORDS,
    LARGEST_ID,
    LARGEST_PAYLOAD,
    MOST_DIGITS,
    SHORT_NAMES,
    TOO_LARGE,
    CustomValue,
    Malformed,
    RemoteAddress,
    Report,
    address_of,
    addresses_of,
    is_address,
)
from device_defender.validation import describe
from device_defender.wording import key_path, shown

HEADER = {"json": b'"header"', "cbor": b"\x66header"}  # what a report with long names has
LONGEST_REMEMBERED, REMEMBERED = 128, 1000  # a name's characters, and names; no custom metric's name is longer
AT_ONCE = 256  # items of a list that are looked at together; one by one takes ten times as long
VALUE_KINDS = tuple(each.in_report for each in TYPES.values())
NUMBER_RULE = f"its numbers must have at most {MOST_DIGITS} digits"
ADDRESS_RULE = "its addresses must be IPv4 or IPv6 ones"
NAME_RULE = f"must name its metrics with {NAME_WORDS}, and none {AWS_PREFIX}..., which AWS keeps for itself"


_is_known_name = lru_cache(REMEMBERED)(is_custom_metric_name)  # of a fleet's reports, which have the same few


class Reading(NamedTuple):
    """A report that was read, and a sentence for each custom metric that is left out of it."""

    report: Report
    left_out: tuple[str, ...] = ()


def read_at_once(payload: bytes, encoding: str) -> Reading | None:
    """Return an ordinary report; None for what has to be looked at closely, by `decode` and `read_report`."""
    if len(payload) > LARGEST_PAYLOAD:
        return None
    short = HEADER[encoding] not in payload
    data = payload if encoding == "json" else as_message_pack(without_self_description(payload))
    try:
        return None if data is None else _finished(_decoder(encoding, short).decode(data), short)
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


def find_report_id(document: Any) -> int | None:
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
    connections = (established.connections if established else None) or ()
    if None not in addresses_of([each.remote_addr for each in connections]):
        return
    for index, each in enumerate(connections):
        if address_of(each.remote_addr) is None:
            place = f"metrics.tcp_connections.established_connections.connections[{index}].remote_addr"
            raise Malformed(_path(place, short), f"must be {describe(RemoteAddress)}", shown(each.remote_addr))


def _without_what_is_not_shown(report: Report, short: bool) -> Reading:
    """Leave out custom metrics that are null, and with a sentence those whose values AWS does not show."""
    found = report.custom_metrics or {}
    left_out = {name: _find_fault(name, metric, short) for name, metric in found.items() if metric is not None}
    sentences = tuple(sentence for sentence in left_out.values() if sentence)
    if not sentences and len(left_out) == len(found):
        return Reading(report)
    kept = {name: found[name] for name, sentence in left_out.items() if not sentence}
    return Reading(msgspec.structs.replace(report, custom_metrics=kept), sentences)


def _find_fault(name: str, metric: list[CustomValue], short: bool) -> str:
    """Return why AWS would not show a custom metric's value, or nothing; raise Malformed for what it would refuse.

    Its SDK for C++ says of numbers of more than 15 digits and of what is no address that they are sent, and not shown.
    """
    if not (len(name) <= LONGEST_REMEMBERED and _is_known_name(name)):
        raise Malformed(_path("custom_metrics", short), NAME_RULE, shown(name))
    (value,) = metric
    if (found := msgspec.structs.astuple(value)).count(None) != len(found) - 1:
        kinds = [kind for kind in VALUE_KINDS if getattr(value, kind) is not None]
        which = " and ".join(kinds) or "none of them"
        raise Malformed(_value_path(name, short), f"must have exactly one of {', '.join(VALUE_KINDS)}", which)
    for number in (value.number,) if value.number is not None else value.number_list or ():
        if not -TOO_LARGE < number < TOO_LARGE:
            return f"{_value_path(name, short)} is left out: {NUMBER_RULE}, got {shown(number)}"
    for each in value.ip_list or ():
        if not is_address(each):
            return f"{_value_path(name, short)} is left out: {ADDRESS_RULE}, got {shown(each)}"
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
    if isinstance(value, dict) and is_struct(inner):
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
    """Return an object's fields by the names of the report's style.

    A report with a short header may have long names: AWS takes those of rustot, the agent in Rust, which mixes them.
    """
    cleaned = {}
    for each in msgspec.structs.fields(struct):
        ours, theirs = each.encode_name, each.name if short else SHORT_NAMES.get(each.name)
        if theirs != ours and theirs in value and (not short or ours in value):
            style = "short" if short else "long"
            rule = f"must be called {ours}, because the report's header has a {style} name"
            raise Malformed(key_path(path, theirs), rule)
        found = ours if ours in value else theirs
        if found in value:
            cleaned[ours] = _cleaned(each.type, value[found], key_path(path, found), short)
        elif each.required:
            raise Malformed(key_path(path, ours), "is missing")
    return cleaned


def _converts(value: Any, annotation: Any) -> bool:
    try:
        msgspec.convert(value, annotation)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter for half a surrogate pair in a key
        return False
    return True


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
    if not short or not (origin or is_struct(annotation)):
        return annotation
    if origin:
        return origin[tuple(_definition(each, short) for each in get_args(annotation))]
    found = msgspec.structs.fields(annotation)
    fields = [(each.name, _definition(each.type, short), each.default) for each in found]
    options: dict[str, Any] = {"forbid_unknown_fields": True, "kw_only": True, "gc": False}
    return msgspec.defstruct(annotation.__name__, fields, rename=SHORT_NAMES, **options)


@cache
def _decoder(encoding: str, short: bool) -> msgspec.json.Decoder[Any] | msgspec.msgpack.Decoder[Any]:
    decoder = msgspec.json.Decoder if encoding == "json" else msgspec.msgpack.Decoder
    return decoder(_definition(Report, short))

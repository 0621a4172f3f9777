"""The shortcut: reads an ordinary JSON report in a tenth of the time, by types made of the table of fields.

It takes only what `defender_detect.fields.check_report` would take, and returns the same. Whatever it does not take (a
report that breaks a rule, one with keys that we do not know, a total written as 5.0) goes the long way, which can
explain it.
"""

from functools import lru_cache
from typing import Annotated, Any, Optional, Union

import msgspec
from msgspec import UNSET, Meta, UnsetType

from defender_detect.blocks import ListOf, Object
from defender_detect.custom_metrics import check_name, custom_metrics
from defender_detect.errors import Malformed
from defender_detect.fields import REPORT
from defender_detect.rules import (
    LARGEST_PORT,
    VERSION,
    Place,
    Rule,
    address,
    custom_number,
    not_negative,
    port,
    port_or_zero,
    positive_integer,
    remote_address,
    text,
    version,
)

REMEMBERED = 50_000  # strings that were checked; things talk to the same addresses again and again
LONGEST = 64  # characters of one that is remembered: an address with a zone may be as long as a report
LARGEST = 2**63 - 1  # an integer that is larger goes the long way
SMALL = 999_999_999.0  # of a whole number that certainly has few digits enough
NOWHERE = Place()

Number = Union[int, float]


class CustomValue(msgspec.Struct, forbid_unknown_fields=True):
    """The value of a custom metric: exactly one of these is set."""

    number: Union[Number, UnsetType] = UNSET
    number_list: Union[list[Number], UnsetType] = UNSET
    string_list: Union[list[str], UnsetType] = UNSET
    ip_list: Union[list[str], UnsetType] = UNSET


TYPES: dict[Any, Any] = {  # a rule -> a type that takes fewer values than the rule, or as many, and what `_check` adds
    positive_integer: Annotated[int, Meta(ge=1, le=LARGEST)],
    not_negative: Annotated[int, Meta(ge=0, le=LARGEST)],
    port: Annotated[int, Meta(ge=1, le=LARGEST_PORT)],
    port_or_zero: Annotated[int, Meta(ge=0, le=LARGEST_PORT)],
    version: Annotated[str, Meta(pattern=rf"^(?:{VERSION.pattern})\Z")],
    text: str,
    remote_address: str,
    custom_metrics: dict[str, Annotated[list[CustomValue], Meta(min_length=1, max_length=1)]],
}


def _type_of(rule: Any, short: bool) -> Any:
    """Return the type that stands for a rule of the table, in one of the two styles of names."""
    if isinstance(rule, ListOf):
        return list[_type_of(rule.rule, short)]  # type: ignore[misc]
    if not isinstance(rule, Object):
        return TYPES[rule]
    fields: list[Any] = []
    for field in rule.fields:
        inner = _type_of(field.rule, short)
        fields.append((field.long, inner) if field.required else (field.long, Union[inner, UnsetType], UNSET))
    names = {field.long: field.name(short) for field in rule.fields}
    return msgspec.defstruct("Block", fields, rename=names, forbid_unknown_fields=True, kw_only=True)


LONG, SHORT = (msgspec.json.Decoder(_type_of(REPORT, short)) for short in (False, True))


def read_ordinary(payload: bytes) -> Optional[dict[str, Any]]:
    """Return a JSON report with long names, as `check_report` does, or None for one that has to go the long way."""
    try:
        report: dict[str, Any]
        if b'"header"' in payload:
            report = msgspec.to_builtins(LONG.decode(payload))
        else:
            report = _as_dict(SHORT.decode(payload))
        _check(report)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Malformed):
        return None
    return report


def _as_dict(value: Any) -> Any:
    """Return structs as objects with the long names, which are those of their attributes."""
    if isinstance(value, msgspec.Struct):
        present = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {name: _as_dict(inner) for name, inner in present if inner is not UNSET}
    if isinstance(value, list):
        return [_as_dict(each) for each in value]
    return {name: _as_dict(each) for name, each in value.items()} if isinstance(value, dict) else value


def _check(report: dict[str, Any]) -> None:
    """Raise Malformed where a rule does not hold that the types cannot express."""
    if "metrics" not in report and "custom_metrics" not in report:
        raise Malformed("")
    connections = report.get("metrics", {}).get("tcp_connections", {}).get("established_connections", {})
    for each in connections.get("connections", ()):
        _hold(remote_address, each["remote_addr"])
    for name, (value,) in report.get("custom_metrics", {}).items():
        _hold(check_name, name)
        if len(value) != 1:
            raise Malformed("")
        _check_value(value)


def _check_value(value: dict[str, Any]) -> None:
    for number in (value["number"],) if "number" in value else value.get("number_list", ()):
        if number != int(number) or not -SMALL < number < SMALL:
            custom_number(number, NOWHERE)
    for each in value.get("ip_list", ()):
        _hold(address, each)


def _hold(rule: Rule, value: str) -> None:
    """Raise Malformed if a rule does not hold for a string; what held is remembered."""
    if len(value) <= LONGEST:
        _hold_once(rule, value)
    else:
        rule(value, NOWHERE)


@lru_cache(REMEMBERED)
def _hold_once(rule: Rule, value: str) -> None:
    rule(value, NOWHERE)

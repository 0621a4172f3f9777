"""The value of a custom metric: one of its type, with the digits that Device Defender takes, in text that UTF-8 has."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, Union

from defender_daemon.text import valid
from defender_publisher.errors import CollectError
from defender_publisher.snapshot import Number
from device_defender.report import MOST_DIGITS, fits

Value = Union[int, float, list[Number], list[str]]


def fit(value: Any, metric_type: str) -> Value:
    """Return what was measured as a value that a report can hold; raises CollectError.

    Digits after the point are rounded away. A number with more than 15 before it is left out: an integer is somebody's
    identifier or bit mask, which rounding would change into another one, and Device Defender takes neither. So are nan
    and infinity, which JSON does not have.
    """
    item = ITEMS[metric_type]
    if metric_type == "number":
        return item(value)  # type: ignore[no-any-return]
    if not isinstance(value, list):
        raise CollectError(f"the value must be a list, got {type(value).__name__}")
    return [item(each) for each in value]


def _number(number: Any) -> Number:
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise CollectError(f"numbers must be int or float, got {type(number).__name__}")
    measured: Number = _rounded(number) if isinstance(number, float) else number
    if not fits(measured):
        raise CollectError(f"numbers must have at most {MOST_DIGITS} digits before the point, found one that is longer")
    return measured


def _rounded(number: float) -> float:
    if not math.isfinite(number):
        raise CollectError(f"numbers must be finite, got {number}")
    return float(f"{number:.{MOST_DIGITS}g}")


def _string(text: Any) -> str:
    if not isinstance(text, str):
        raise CollectError(f"strings must be str, got {type(text).__name__}")
    return valid(text)


def _address(text: Any) -> str:
    try:
        return str(ip_address(_string(text)))
    except ValueError as error:
        raise CollectError(f"addresses must be IPv4 or IPv6 ones, got {text!r}") from error


ITEMS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {"number": _number, "number-list": _number, "string-list": _string, "ip-address-list": _address}
)

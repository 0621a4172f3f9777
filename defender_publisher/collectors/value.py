"""The value of a custom metric, and the digits Device Defender takes."""

from __future__ import annotations

import math
from typing import Union

from defender_publisher.errors import CollectError
from defender_publisher.snapshot import Number

MOST_DIGITS = 15  # "Numbers carry at most 15 digits" (AWS IoT Device Defender's developer guide, custom metrics)

Value = Union[int, float, list[Number], list[str]]


def limit_digits(value: Value) -> Value:
    """Return a value whose numbers have at most 15 significant digits.

    A float is rounded. An integer with more digits is somebody's identifier or bit mask, which rounding would change
    into another one: CollectError. So are nan and infinity, which JSON does not have.
    """
    if isinstance(value, list):
        return [_limited(item) if isinstance(item, (int, float)) else item for item in value]  # type: ignore[return-value]
    return _limited(value)


def _limited(number: Number) -> Number:
    if isinstance(number, float):
        return _rounded(number)
    if abs(number) >= 10**MOST_DIGITS:
        raise CollectError(f"numbers must have at most {MOST_DIGITS} digits, found one that is longer")
    return number


def _rounded(number: float) -> float:
    if not math.isfinite(number):
        raise CollectError(f"numbers must be finite, got {number}")
    return float(f"{number:.{MOST_DIGITS}g}")

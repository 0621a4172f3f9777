"""A `time_t` of 32 bits, as the C library of a 32-bit Raspberry Pi OS has it up to Debian 12.

`restrict` makes this process one that has it; `environment` does so for a program that is started.
"""

from __future__ import annotations

import calendar
import datetime
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SITE = Path(__file__).with_name("time_t_of_32_bits")  # its `sitecustomize` is what Python imports first
ROOT = SITE.parents[2]
LEAST, MOST = -(2**31), 2**31 - 1
MESSAGE = "timestamp out of range for platform time_t"  # what CPython says there


def environment() -> dict[str, str]:
    """Return the environment in which Python programs have a `time_t` of 32 bits."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(SITE), str(ROOT)])}


def restrict(put: Callable[[object, str, Any], None] = setattr) -> None:
    """Let everything that hands a date to the C library raise OverflowError where it has no room (see `put`)."""
    for name in ("gmtime", "localtime", "ctime"):
        put(time, name, _OfSeconds(getattr(time, name)))
    for name, position in (("mktime", 0), ("asctime", 0), ("strftime", 1)):
        put(time, name, _OfFields(getattr(time, name), position))
    put(datetime, "datetime", _DateTime)


def _check(seconds: float) -> None:
    if not LEAST <= seconds <= MOST:
        raise OverflowError(MESSAGE)


class _OfSeconds:
    """A function of seconds; no Python function, which would become a method where logging keeps it in a class."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, seconds: float | None = None) -> Any:
        _check(time.time() if seconds is None else seconds)
        return self._function(seconds)


class _OfFields:
    """A function of a broken-down time, at a position among its arguments."""

    def __init__(self, function: Callable[..., Any], position: int) -> None:
        self._function = function
        self._position = position

    def __call__(self, *arguments: Any) -> Any:
        if len(arguments) > self._position:
            _check(calendar.timegm(arguments[self._position]))
        return self._function(*arguments)


class _Kind(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _REAL)


_REAL = datetime.datetime


class _DateTime(_REAL, metaclass=_Kind):
    """A date whose ways through the C library are restricted; the others are its own arithmetic."""

    @classmethod
    def fromtimestamp(cls, seconds: float, tz: datetime.tzinfo | None = None) -> Any:
        _check(seconds)
        return super().fromtimestamp(seconds, tz)

    @classmethod
    def utcfromtimestamp(cls, seconds: float) -> Any:
        _check(seconds)
        return super().fromtimestamp(seconds, datetime.timezone.utc).replace(tzinfo=None)

    def timestamp(self) -> float:
        seconds = super().timestamp()
        if self.tzinfo is None:
            _check(seconds)
        return seconds

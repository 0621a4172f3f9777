"""The rules for single values of a report: each takes a value and its place, and returns it or raises Malformed."""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, NoReturn

from defender_detect.errors import Malformed

LARGEST_PORT = 65535
MOST_DIGITS = 15  # of a number in a custom metric
SMALL = 10**MOST_DIGITS  # the first whole number that has more digits
REMEMBERED = 16_384  # addresses; about 3 MB
LONGEST_REMEMBERED = 64  # characters; an address with a zone may be as long as a report
SHOWN_CHARACTERS = 60  # of a wrong value in a message
VERSION = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}")
REMOTE_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<ipv4>[0-9.]+)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class Place:
    """Where in a report a value stands, in the report's own names, and whether these are the short ones."""

    path: str = ""
    short: bool = False

    def key(self, name: str) -> Place:
        """Return the place of a field of the object here."""
        return Place(f"{self.path}.{name}" if self.path else name, self.short)

    def item(self, index: int) -> Place:
        """Return the place of an item of the list here."""
        return Place(f"{self.path}[{index}]", self.short)

    def refuse(self, rule: str, value: Any) -> NoReturn:
        """Raise Malformed, saying where, what would be right and the value that was found."""
        self.complain(rule, describe(value))

    def complain(self, rule: str, found: str) -> NoReturn:
        """Raise Malformed, saying where, what would be right and what was found, in words."""
        raise Malformed(f"{self.path or 'the report'} must {rule}, got {found}")


Rule = Callable[[Any, Place], Any]


def describe(value: Any) -> str:
    """Show a value in a message: in ASCII, in one line, and short whatever it is."""
    if isinstance(value, str):
        shown = json.dumps(value[:SHOWN_CHARACTERS])
        return shown if len(value) <= SHOWN_CHARACTERS else f"{shown[:-1]}..."
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (list, tuple)):
        return f"an array of {len(value)}"
    return "a byte string" if isinstance(value, bytes) else f"a CBOR {type(value).__name__}"


def is_number(value: Any) -> bool:
    """Tell whether a value is a number: true and false are none, and neither are NaN and the infinities."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value: Any) -> bool:
    """Tell whether a value is a whole number; 22.0 is one, as JSON knows only one kind of number."""
    return is_number(value) and value == int(value)


def not_negative(value: Any, place: Place) -> Any:
    """Require a number of at least 0."""
    if not is_number(value) or value < 0:
        place.refuse("be a number of at least 0", value)
    return value


def positive_integer(value: Any, place: Place) -> Any:
    """Require a positive integer, written as one."""
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        place.refuse("be a positive integer", value)
    return value


def port(value: Any, place: Place) -> int:
    """Require a port that something can listen on."""
    if is_number(value) and value <= 0:
        place.refuse("be greater than 0", value)
    return port_or_zero(value, place)


def port_or_zero(value: Any, place: Place) -> int:
    """Require a port, or 0."""
    if not is_integer(value) or not 0 <= value <= LARGEST_PORT:
        place.refuse(f"be an integer from 0 to {LARGEST_PORT}", value)
    return int(value)


def text(value: Any, place: Place) -> Any:
    """Require a string."""
    if not isinstance(value, str):
        place.refuse("be a string", value)
    return value


def version(value: Any, place: Place) -> Any:
    """Require a version in the form Major.Minor."""
    if not isinstance(value, str) or not VERSION.fullmatch(value):
        place.refuse('be a string of the form "Major.Minor"', value)
    return value


def remote_address(value: Any, place: Place) -> Any:
    """Require an address and a port: `192.0.2.1:443` or `[2001:db8::1]:443`."""
    match = REMOTE_ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if not match or not is_address(match["ipv6"] or match["ipv4"], 6 if match["ipv6"] else 4):
        place.refuse("be a string of the form ip:port or [ipv6]:port", value)
    if int(match["port"]) > LARGEST_PORT:
        place.refuse(f"have a port of at most {LARGEST_PORT}", value)
    return value


def address(value: Any, place: Place) -> Any:
    """Require an IPv4 or IPv6 address."""
    if not isinstance(value, str) or not is_address(value):
        place.refuse("be an IPv4 or IPv6 address", value)
    return value


def is_address(value: str, family: int = 0) -> bool:
    """Tell whether a string is an IP address, of the given version where one is given."""
    found = remembered_version(value) if len(value) <= LONGEST_REMEMBERED else find_version(value)
    return found is not None and (found == family or not family)


def find_version(value: str) -> int | None:
    """Return the version of an IP address; None for what is none."""
    try:
        return ipaddress.ip_address(value).version
    except ValueError:
        return None


remembered_version = lru_cache(REMEMBERED)(find_version)


def custom_number(value: Any, place: Place) -> Any:
    """Require a number of at most 15 digits."""
    if type(value) is int and -SMALL < value < SMALL:  # most are, and the other way takes ten times as long
        return value
    if not is_number(value) or count_digits(value) > MOST_DIGITS:
        place.refuse(f"be a number of at most {MOST_DIGITS} digits", value)
    return value


def count_digits(value: float) -> int:
    """Count the digits a number has when it is written without an exponent; zeros after the point count for nothing."""
    number = Decimal(repr(value)).normalize()
    return max(len(number.as_tuple().digits), number.adjusted() + 1)

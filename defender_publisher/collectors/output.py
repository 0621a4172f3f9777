"""What a command prints, understood as a value of a metric's type."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address

from defender_daemon.text import valid
from defender_publisher.collectors.names import without_zone
from defender_publisher.collectors.value import Value
from defender_publisher.errors import CollectError
from defender_publisher.snapshot import Number

INTEGER = re.compile(r"[+-]?[0-9]{1,400}")  # far beyond the digits allowed, and below the 4,300 at which int() refuses
NOT_FINITE = (float("inf"), float("-inf"))  # what 1e999 and JSON's Infinity become; nan is the one unequal to itself
REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def parse_output(text: str, metric_type: str) -> Value:
    """Return the value that a text holds: JSON, or else one value a line, where blank lines do not count.

    An empty text is an empty list ("looked, found nothing"), but no number. Raises CollectError, which names the value
    that does not fit the type.
    """
    items = _items(text)
    if metric_type == "number":
        return _number(_only(items))
    if metric_type == "number-list":
        return [_number(item) for item in items]
    if metric_type == "ip-address-list":
        return [_address(item) for item in items]
    return [_string(item) for item in items]


def _items(text: str) -> list[object]:
    """Return the items of a JSON list, or else the lines; an object, which no type has, as the only item.

    A line can be a JSON string: `jq` prints each with its quotes, but for its option -r.
    """
    lines = [line.strip() for line in re.split(r"\r\n?|\n", text) if line.strip()]
    try:
        decoded = json.loads(text)
    except (ValueError, RecursionError):
        decoded = None
    if isinstance(decoded, list):
        return decoded
    return [decoded] if isinstance(decoded, dict) else [_without_quotes(line) for line in lines]


def _without_quotes(line: str) -> object:
    if not (len(line) > 1 and line[0] == line[-1] == '"'):
        return line
    try:
        return json.loads(line)
    except ValueError:  # a quotation of its own
        return line


def _only(items: list[object]) -> object:
    if len(items) != 1:
        raise CollectError(f"must print exactly one number, printed {len(items) or 'nothing'}")
    return items[0]


def _number(item: object) -> Number:
    if isinstance(item, str) and INTEGER.fullmatch(item):
        return int(item)
    number = float(item) if isinstance(item, str) and REAL.fullmatch(item) else item
    if isinstance(number, bool) or not isinstance(number, (int, float)) or number in NOT_FINITE or number != number:
        raise CollectError(f"must print numbers, printed {_shown(item)}")
    return number


def _address(item: object) -> str:
    try:
        return str(ip_address(without_zone(_string(item))))
    except ValueError as error:
        raise CollectError(f"must print IP addresses, printed {_shown(item)}") from error


def _string(item: object) -> str:
    if not isinstance(item, str):
        raise CollectError(f"must print strings, printed {_shown(item)}")
    return valid(item)


def _shown(item: object) -> str:
    shown = json.dumps(item)
    return shown if len(shown) <= 60 else shown[:57] + "..."

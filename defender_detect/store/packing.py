"""The packed form of a report's metric values: one msgpack array of metric numbers and values in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from defender_detect.metrics import Value

MOST_ALIKE = 1_000  # sets of metrics that are remembered; a fleet has few
LARGEST_INTEGER = 2**63 - 1  # of what msgpack and SQLite can hold alike

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


class Packer:
    """Packs reports by the numbers of their metrics, which most reports of a fleet have in common."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self._of: dict[tuple[str, ...], tuple[int, ...]] = {}  # the numbers of all metrics of a report, in their order

    def pack(self, values: Mapping[str, Value]) -> bytes:
        """Pack a report's values, each beside the number of its metric; what has no number is left out."""
        metrics = tuple(values)
        numbers = self._of.get(metrics)
        if numbers is None:
            numbers = tuple([self.numbers[metric] for metric in metrics if metric in self.numbers])
            if len(numbers) < len(metrics):
                return pack_values(values, self.numbers)
            if len(self._of) >= MOST_ALIKE:
                self._of.clear()
            self._of[metrics] = numbers
        return _pack(list(chain.from_iterable(zip(numbers, values.values()))))

    def forget(self) -> None:
        """Forget all numbers."""
        self.numbers.clear()
        self._of.clear()


def pack_values(values: Mapping[str, Value], numbers: Mapping[str, int]) -> bytes:
    """Pack a report's values, each beside the number of its metric; what has no number is left out."""
    return _pack([item for metric, value in values.items() if metric in numbers for item in (numbers[metric], value)])


def _pack(flat: list[Any]) -> bytes:
    try:
        return _encode(flat)
    except (OverflowError, UnicodeEncodeError):  # a count beyond 64 bits, or half a surrogate pair from JSON
        return _encode([keepable(item) for item in flat])


def unpack_values(packed: bytes) -> Iterator[tuple[int, Value]]:
    """Return the pairs of a metric's number and value."""
    flat = iter(_decode(packed))
    return ((number, tuple(value) if isinstance(value, list) else value) for number, value in zip(flat, flat))


def unpack_flat(packed: bytes) -> list[Any]:
    """Return the metrics' numbers and values in turn, for who reads many reports: a list is a list."""
    return _decode(packed)


def pack_value(value: Value | None) -> bytes:
    """Pack one value."""
    try:
        return _encode(value)
    except (OverflowError, UnicodeEncodeError):
        return _encode(keepable(value))


def unpack_value(packed: bytes) -> Value | None:
    """Return a value that was packed alone."""
    value: Any = msgspec.msgpack.decode(packed)
    return tuple(value) if isinstance(value, list) else value


def keepable(value: Any) -> Any:
    """Return the nearest to a value that can be kept: a float for a huge integer, ? for what is no character."""
    if isinstance(value, (tuple, list, frozenset)):
        return [keepable(item) for item in value]
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        return float(value) if abs(value) < 10**300 else None
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value

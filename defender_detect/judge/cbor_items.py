"""A walk over CBOR's items (RFC 8949) that lets through only what a report can hold.

cbor2 turns tags into regular expressions, decimals and shared references, and ignores what follows the first item. None
of it belongs into a report, and shared references make 128 KB as much work as gigabytes. So a payload is walked first.
"""

from __future__ import annotations

from defender_detect.errors import Malformed

DEEPEST = 32  # a report is 6 levels deep; the rest is room for keys that we do not know
BREAK = 0xFF
BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = 2, 3, 4, 5, 6, 7
INDEFINITE = -1
HAS_INDEFINITE = (BYTES, TEXT, ARRAY, MAP)


def skip_item(data: bytes, start: int = 0, depth: int = 0) -> int:
    """Return the position after the item at `start`; raise Malformed where no plain, complete item is there."""
    major, argument, position = read_head(data, start)
    if depth > DEEPEST:
        raise Malformed(f"the CBOR must be at most {DEEPEST} levels deep, at byte {start} it is deeper")
    if major == TAG:
        raise Malformed(f"the CBOR must have no tags, got tag {argument} at byte {start}")
    if major in (ARRAY, MAP):
        return skip_members(data, position, argument * (2 if major == MAP else 1), depth)
    if major in (BYTES, TEXT):
        return skip_members(data, position, argument, depth) if argument == INDEFINITE else position + argument
    return position


def skip_members(data: bytes, position: int, count: int, depth: int) -> int:
    """Return the position after `count` items, or after the break that ends an indefinite number of them."""
    while count:
        if count < 0 and data[position : position + 1] == bytes([BREAK]):
            return position + 1
        position = skip_item(data, position, depth + 1)
        count -= 1
    return position


def read_head(data: bytes, start: int) -> tuple[int, int, int]:
    """Return an item's major type, its argument (INDEFINITE for none) and the position after them."""
    if start >= len(data):
        raise Malformed(f"the CBOR ends at byte {len(data)}, in the middle of the report")
    major, information = data[start] >> 5, data[start] & 0x1F
    if information < 24:
        return major, information, start + 1
    if information == 31 and major in HAS_INDEFINITE:
        return major, INDEFINITE, start + 1
    if information > 27:
        raise Malformed(f"the CBOR has the unknown initial byte 0x{data[start]:02x} at byte {start}")
    end = start + 1 + (1 << (information - 24))
    return major, int.from_bytes(data[start + 1 : end], "big"), end

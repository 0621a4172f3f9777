"""The two encodings of reports and replies, JSON and CBOR, read as strictly as text from a stranger has to be."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Mapping
from typing import Any

import cbor2
import msgspec

from device_defender.report import LARGEST_PAYLOAD, Malformed

LONGEST_INTEGER = 40  # digits; Python takes quadratic time over longer ones, and no field holds more than 20
SELF_DESCRIBED = b"\xd9\xd9\xf7"  # the tag that only says "this is CBOR"
READ_AT_ONCE = 4096  # bytes; cbor2 takes half the time with it
PAIR, NONCE = b"\x82", secrets.token_bytes(16)  # an array of two, and what nobody can know to be its second item:
END = b"\x50" + NONCE  # only where the report is one whole item it comes right after it

NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG = 1, 2, 3, 4, 5, 6  # CBOR's major types (RFC 8949)
INDEFINITE = 31  # the length of what ends with a break
LONGEST_ALIKE = 0xFFFF  # of what has a length, in MessagePack as it is made here
ALIKE = (  # first bytes of items in CBOR, how many, the like in MessagePack, what it grows by, and the items' lengths
    (0x00, 24, 0x00, 1, 1, 0),  # 0 to 23
    (0x18, 1, 0xCC, 0, 2, 0),  # integers of 1, 2, 4 and 8 bytes
    (0x19, 1, 0xCD, 0, 3, 0),
    (0x1A, 1, 0xCE, 0, 5, 0),
    (0x1B, 1, 0xCF, 0, 9, 0),
    (0x20, 24, 0xFF, -1, 1, 0),  # -1 to -24
    (0x60, 24, 0xA0, 1, 1, 1),  # strings of 0 to 23 bytes
    (0x80, 16, 0x90, 1, 1, 0),  # arrays of 0 to 15 items
    (0xA0, 16, 0x80, 1, 1, 0),  # maps of 0 to 15 pairs
    (0xF4, 2, 0xC2, 1, 1, 0),  # false and true
    (0xF6, 1, 0xC0, 0, 1, 0),  # null
    (0xFA, 1, 0xCA, 0, 5, 0),  # floats of 4 and 8 bytes
    (0xFB, 1, 0xCB, 0, 9, 0),
)
_PAIRS = {
    first + each: (head + each * growth, length + each * more)
    for first, count, head, growth, length, more in ALIKE
    for each in range(count)
}
HEADS, LENGTHS = (bytes(_PAIRS.get(head, (0, 0))[of] for head in range(256)) for of in (0, 1))
BEHIND = bytes(max(length for _, length in _PAIRS.values()))  # no item begins there, wherever the last one ends
UNLIKE = {TEXT: b"\xda", ARRAY: b"\xdc", MAP: b"\xde"}  # the first byte of longer ones in MessagePack


def decode(payload: bytes, encoding: str) -> Any:
    """Decode a report; raise Malformed for whatever is not one JSON or CBOR value of at most 128 KB."""
    if len(payload) > LARGEST_PAYLOAD:
        raise Malformed("the payload", f"must be at most {LARGEST_PAYLOAD} bytes", str(len(payload)))
    return decode_cbor(payload) if encoding == "cbor" else decode_json(payload)


def encode(document: Mapping[str, Any], encoding: str) -> bytes:
    """Encode a reply."""
    if encoding == "cbor":
        return cbor2.dumps(document)
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:  # half a surrogate pair, in what a message quotes
        return json.dumps(document).encode()


def decode_json(payload: bytes) -> Any:
    """Decode JSON in UTF-8; NaN and Infinity, which Python would let through, are not JSON."""
    try:
        return json.loads(payload.decode("utf-8"), parse_int=read_integer, parse_constant=refuse_constant)
    except UnicodeDecodeError as error:
        raise Malformed("the payload", f"must be UTF-8, at byte {error.start} it is not") from error
    except RecursionError as error:
        raise Malformed("the JSON", "is too deeply nested") from error
    except ValueError as error:
        raise Malformed("the payload", f"must be JSON: {error}") from error


def read_integer(digits: str) -> float:
    """Read an integer of any length in bounded time."""
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)


def refuse_constant(name: str) -> None:
    """Refuse NaN, Infinity and -Infinity."""
    raise ValueError(f"{name} is not a number")


def decode_cbor(payload: bytes) -> Any:
    """Decode one CBOR item and nothing after it, without tags."""
    item = without_self_description(payload)
    check_items(item)
    decoder = cbor2.CBORDecoder(io.BytesIO(PAIR + item + END), read_size=READ_AT_ONCE)
    try:
        document, end = decoder.decode()
    except (cbor2.CBORDecodeError, ValueError, TypeError, RecursionError) as error:
        raise Malformed("the payload", f"must be CBOR: {error}") from error
    if end != NONCE:
        raise Malformed("the CBOR", "must be one item", "more than one")
    return document


def without_self_description(payload: bytes) -> bytes:
    """Return CBOR without the tag that only says that it is CBOR."""
    return payload[len(SELF_DESCRIBED) :] if payload.startswith(SELF_DESCRIBED) else payload


def check_items(data: bytes) -> None:
    """Raise Malformed for CBOR that has tags, or ends in the middle of an item.

    cbor2 makes regular expressions, decimals and shared references of tags, and the latter make 128 KB as much work as
    gigabytes. None of it belongs into a report. The items are gone through one after the other, whatever they are in.
    """
    position = 0
    while position < len(data):
        length = LENGTHS[data[position]]
        position = position + length if length else after_item(data, position)
    if position != len(data):
        raise Malformed("the CBOR", f"ends at byte {len(data)}, in the middle of the report")


def after_item(data: bytes, start: int) -> int:
    """Return where the next item begins, or the first one in this one; raise Malformed for a tag."""
    major, information = data[start] >> 5, data[start] & 0x1F
    end, argument = read_argument(data, start)
    if major == TAG:
        raise Malformed("the CBOR", "must have no tags", f"tag {argument} at byte {start}")
    if information == INDEFINITE and major not in (0, NEGATIVE):
        return start + 1
    if information > 27:
        raise Malformed("the CBOR", f"has the unknown initial byte 0x{data[start]:02x} at byte {start}")
    return end + argument if major in (BYTES, TEXT) else end


def read_argument(data: bytes, start: int) -> tuple[int, int]:
    """Return where an item's first bytes end, and the number that they hold."""
    information = data[start] & 0x1F
    end = start + 1 + (1 << (information - 24) if 24 <= information <= 27 else 0)
    return end, int.from_bytes(data[start + 1 : end], "big") if end > start + 1 else information


def as_message_pack(data: bytes) -> bytes | None:
    """Return CBOR as MessagePack, which msgspec reads at once; None for what a report has no use for.

    Most items are of the same length in both and differ in their first byte alone, so that a look-up is all it takes.
    """
    end = len(data)
    packed, heads, lengths = bytearray(data), data.translate(HEADS) + BEHIND, data.translate(LENGTHS) + BEHIND
    parts: list[bytes | bytearray] = []
    begin = position = 0
    while position < end:
        length = lengths[position]
        while length:  # 0 behind the end
            packed[position] = heads[position]
            position += length
            length = lengths[position]
        if position >= end:
            break
        major, (after, argument) = data[position] >> 5, read_argument(data, position)
        if major == NEGATIVE and after - position < 9:
            head, content = msgspec.msgpack.encode(-1 - argument), 0
        elif major in UNLIKE and data[position] & 0x1F <= 27 and argument <= LONGEST_ALIKE:
            head, content = UNLIKE[major] + argument.to_bytes(2, "big"), argument if major == TEXT else 0
        else:
            return None
        parts += [packed[begin:position], head]
        begin, position = after, after + content
    return b"".join([*parts, packed[begin:]]) if position == end else None

"""The two encodings of reports and replies, JSON and CBOR, read as strictly as text from a stranger has to be."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Mapping
from typing import Any

import cbor2

from device_defender.report import LARGEST_PAYLOAD, Malformed

LONGEST_INTEGER = 40  # digits; Python takes quadratic time over longer ones, and no field holds more than 20
SELF_DESCRIBED = b"\xd9\xd9\xf7"  # the tag that only says "this is CBOR"
READ_AT_ONCE = 4096  # bytes; cbor2 takes half the time with it
PAIR, NONCE = b"\x82", secrets.token_bytes(16)  # an array of two, and what nobody can know to be its second item:
END = b"\x50" + NONCE  # only where the report is one whole item it comes right after it

BYTES, TEXT, ARRAY, MAP, TAG, SPECIAL = 2, 3, 4, 5, 6, 7  # CBOR's major types (RFC 8949)
INDEFINITE = 31  # of those that may be of a length that is not known beforehand, and 0xFF, the break that ends them
CLOSER_LOOK = 0


def _step(head: int) -> int:
    """Return how far it is from an item's first byte to the next item's, where this byte tells; 0 where it does not."""
    major, information = head >> 5, head & 0x1F
    if major == TAG or 27 < information < INDEFINITE:
        return CLOSER_LOOK
    if information == INDEFINITE:
        return 1 if major in (BYTES, TEXT, ARRAY, MAP, SPECIAL) else CLOSER_LOOK
    if information < 24:
        return 1 + information if major in (BYTES, TEXT) else 1
    return CLOSER_LOOK if major in (BYTES, TEXT) else 1 + (1 << (information - 24))


STEPS = bytes(_step(head) for head in range(256))


def decode(payload: bytes, encoding: str) -> Any:
    """Decode a report; raise Malformed for whatever is not one JSON or CBOR value of at most 128 KB."""
    if len(payload) > LARGEST_PAYLOAD:
        raise Malformed("the payload", f"must be at most {LARGEST_PAYLOAD} bytes", str(len(payload)))
    return decode_cbor(payload) if encoding == "cbor" else decode_json(payload)


def encode(document: Mapping[str, Any], encoding: str) -> bytes:
    """Encode a reply."""
    return cbor2.dumps(document) if encoding == "cbor" else json.dumps(document).encode()


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
    item = payload[len(SELF_DESCRIBED) :] if payload.startswith(SELF_DESCRIBED) else payload
    check_items(item)
    decoder = cbor2.CBORDecoder(io.BytesIO(PAIR + item + END), read_size=READ_AT_ONCE)
    try:
        document, end = decoder.decode()
    except (cbor2.CBORDecodeError, ValueError, TypeError, RecursionError) as error:
        raise Malformed("the payload", f"must be CBOR: {error}") from error
    if end != NONCE:
        raise Malformed("the CBOR", "must be one item", "more than one")
    return document


def check_items(data: bytes) -> None:
    """Raise Malformed for CBOR that has tags, or ends in the middle of an item.

    cbor2 makes regular expressions, decimals and shared references of tags, and the latter make 128 KB as much work as
    gigabytes. None of it belongs into a report. The items are gone through one after the other, whatever they are in:
    each byte is replaced by how far it is to the next item if an item begins there, so that a step is one look-up.
    """
    steps, position = data.translate(STEPS), 0
    try:
        while True:
            position += steps[position]
            position += steps[position]
            position += steps[position]
            position += steps[position]
            if not steps[position]:
                position = after_long_item(data, position)
    except IndexError:
        if position != len(data):
            raise Malformed("the CBOR", f"ends at byte {len(data)}, in the middle of the report") from None


def after_long_item(data: bytes, start: int) -> int:
    """Return the position after a string whose length follows its first byte; raise Malformed for all else."""
    major, information = data[start] >> 5, data[start] & 0x1F
    end = start + 1 + (1 << (information - 24)) if 24 <= information <= 27 else start + 1
    argument = int.from_bytes(data[start + 1 : end], "big") if end > start + 1 else information
    if major == TAG:
        raise Malformed("the CBOR", "must have no tags", f"tag {argument} at byte {start}")
    if major not in (BYTES, TEXT) or information > 27:
        raise Malformed("the CBOR", f"has the unknown initial byte 0x{data[start]:02x} at byte {start}")
    return end + argument

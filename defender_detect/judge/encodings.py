"""The two encodings of reports and replies, JSON and CBOR, read as strictly as text from a stranger has to be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import cbor2

from defender_detect.errors import Malformed
from defender_detect.judge.cbor_items import skip_item

LARGEST_PAYLOAD = 128 * 1024  # bytes; AWS IoT's limit for a message
LONGEST_INTEGER = 40  # digits; Python takes quadratic time over longer ones, and no field holds more than 20
SELF_DESCRIBED = b"\xd9\xd9\xf7"  # the tag that only says "this is CBOR"


def decode(payload: bytes, encoding: str) -> Any:
    """Decode a report; raise Malformed for whatever is not one JSON or CBOR value of at most 128 KB."""
    if len(payload) > LARGEST_PAYLOAD:
        raise Malformed(f"the payload must be at most {LARGEST_PAYLOAD} bytes, got {len(payload)}")
    return decode_cbor(payload) if encoding == "cbor" else decode_json(payload)


def encode(document: Mapping[str, Any], encoding: str) -> bytes:
    """Encode a reply."""
    return cbor2.dumps(document) if encoding == "cbor" else json.dumps(document).encode()


def decode_json(payload: bytes) -> Any:
    """Decode JSON in UTF-8; NaN and Infinity, which Python would let through, are not JSON."""
    try:
        return json.loads(payload.decode("utf-8"), parse_int=read_integer, parse_constant=refuse_constant)
    except UnicodeDecodeError as error:
        raise Malformed(f"the payload must be UTF-8, at byte {error.start} it is not") from error
    except RecursionError as error:
        raise Malformed("the JSON is too deeply nested") from error
    except ValueError as error:
        raise Malformed(f"the payload must be JSON: {error}") from error


def read_integer(digits: str) -> float:
    """Read an integer of any length in bounded time."""
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)


def refuse_constant(name: str) -> None:
    """Refuse NaN, Infinity and -Infinity."""
    raise ValueError(f"{name} is not a number")


def decode_cbor(payload: bytes) -> Any:
    """Decode one CBOR item and nothing after it, without tags."""
    item = payload[len(SELF_DESCRIBED) :] if payload.startswith(SELF_DESCRIBED) else payload
    end = skip_item(item)
    if end != len(item):
        raise Malformed(f"the CBOR must be one item of {len(item)} bytes, got one of {end} bytes")
    try:
        return cbor2.loads(item)
    except (cbor2.CBORDecodeError, ValueError, TypeError, RecursionError) as error:
        raise Malformed(f"the payload must be CBOR: {error}") from error

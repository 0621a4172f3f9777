"""Event-stream framing, as Greengrass IPC speaks it over its Unix socket.

A message is its length, its headers' length, a CRC-32 of the two, headers, payload, and a CRC-32 of it all; big-endian.
https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import NamedTuple, Union

PRELUDE, CRC = struct.Struct(">II"), struct.Struct(">I")
INT32, BYTES, STRING = 4, 6, 7  # the types of header that have a value for us
SIZES = {0: 0, 1: 0, 2: 1, 3: 2, INT32: 4, 5: 8, 8: 8, 9: 16}  # type -> bytes; BYTES and STRING say their own length
START = PRELUDE.size + CRC.size  # bytes that say how long a message is
OVERHEAD = START + CRC.size  # bytes of a message without headers and payload
LONGEST = 1 << 20  # bytes; the nucleus's largest is an MQTT message of 128 KiB in base64 within JSON

Value = Union[int, str]


class Frame(NamedTuple):
    """A message: its headers of type int32 and string by name, and its payload."""

    headers: dict[str, Value]
    payload: bytes


class DamagedError(Exception):
    """What arrived is not an event-stream message."""


def encode(headers: Mapping[str, Value], payload: bytes = b"") -> bytes:
    """Return a message as bytes; integers become int32, strings become UTF-8."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    prelude = PRELUDE.pack(OVERHEAD + len(block) + len(payload), len(block))
    message = prelude + CRC.pack(zlib.crc32(prelude)) + block + payload
    return message + CRC.pack(zlib.crc32(message))


def length_of(start: bytes) -> int:
    """Return the whole length of a message by its first 12 bytes; raises DamagedError."""
    total, headers = PRELUDE.unpack_from(start)
    if CRC.unpack_from(start, PRELUDE.size)[0] != zlib.crc32(start[: PRELUDE.size]):
        raise DamagedError("the checksum of a message's length is wrong")
    if not OVERHEAD + headers <= total <= LONGEST:
        raise DamagedError(f"a message cannot be {total} bytes long, {headers} of them headers")
    return int(total)


def decode(message: bytes) -> Frame:
    """Read a whole message; raises DamagedError."""
    if len(message) < OVERHEAD or length_of(message[:START]) != len(message):
        raise DamagedError("a message is cut off")
    if CRC.unpack_from(message, len(message) - CRC.size)[0] != zlib.crc32(message[: -CRC.size]):
        raise DamagedError("the checksum of a message is wrong")
    end = START + PRELUDE.unpack_from(message)[1]
    try:
        headers = _read_headers(message[START:end])
    except (struct.error, IndexError, KeyError, UnicodeDecodeError) as error:
        raise DamagedError("the headers of a message cannot be read") from error
    return Frame(headers, message[end : -CRC.size])


def _header(name: str, value: Value) -> bytes:
    start = bytes([len(name)]) + name.encode()
    if isinstance(value, int):
        return start + struct.pack(">Bi", INT32, value)
    text = value.encode()
    return start + struct.pack(">BH", STRING, len(text)) + text


def _read_headers(block: bytes) -> dict[str, Value]:
    headers: dict[str, Value] = {}
    at = 0
    while at < len(block):
        name = _cut(block, at + 1, block[at])
        kind = block[at + 1 + len(name)]
        at += len(name) + 2
        if kind in (BYTES, STRING):
            size = struct.unpack_from(">H", block, at)[0]
            at += 2
        else:
            size = SIZES[kind]
        value = _cut(block, at, size)
        at += size
        if kind == INT32:
            headers[name.decode()] = struct.unpack(">i", value)[0]
        elif kind == STRING:
            headers[name.decode()] = value.decode()
    return headers


def _cut(block: bytes, at: int, size: int) -> bytes:
    if at + size > len(block):
        raise IndexError("a header is cut off")
    return block[at : at + size]

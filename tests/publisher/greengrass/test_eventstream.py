"""Event-stream messages are read as AWS writes them, and nothing that is damaged is more than one kind of error."""

from __future__ import annotations

import itertools
import random
import struct
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Iterator

import pytest

from defender_publisher.greengrass import eventstream
from defender_publisher.greengrass.eventstream import DamagedError, Frame, decode, encode, length_of

# Test vectors of the format's own test suite, as they are published with the AWS event-stream libraries.
NO_HEADERS = bytes.fromhex("0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936")
INT32_HEADER = bytes.fromhex(
    "0000002d0000001041c424b80a6576656e742d74797065040000a00c7b27666f6f273a27626172277d36f480a0"
)
JSON_PAYLOAD = b"{'foo':'bar'}"


def with_headers(block: bytes, payload: bytes = b"") -> bytes:
    """A message around a block of headers, with the right checksums."""
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + block + payload
    return message + struct.pack(">I", zlib.crc32(message))


def test_the_published_vectors_are_read() -> None:
    assert Frame({}, JSON_PAYLOAD) == decode(NO_HEADERS)
    assert Frame({"event-type": 40972}, JSON_PAYLOAD) == decode(INT32_HEADER)


def test_the_published_vectors_are_written() -> None:
    assert NO_HEADERS == encode({}, JSON_PAYLOAD)
    assert INT32_HEADER == encode({"event-type": 40972}, JSON_PAYLOAD)


@pytest.mark.parametrize("headers", [{}, {":stream-id": 0, "operation": "aws.greengrass#Ä"}, {"n" * 255: -1}])
def test_what_is_written_is_read_again(headers: dict[str, eventstream.Value]) -> None:
    assert Frame(headers, b"\x00payload") == decode(encode(headers, b"\x00payload"))


def test_headers_of_other_types_are_passed_over() -> None:
    block = (
        b"\x01a\x00"
        + b"\x01b\x02\x07"
        + b"\x01c\x05"
        + bytes(8)
        + b"\x01d\x06\x00\x02\xff\xfe"
        + b"\x01e\x09"
        + bytes(16)
    )
    last = b"\x01f\x07\x00\x01x"
    assert {"f": "x"} == decode(with_headers(block + last)).headers


@pytest.mark.parametrize(
    "message",
    [
        b"",
        NO_HEADERS[:-1],
        NO_HEADERS + b"\x00",
        NO_HEADERS[:-1] + b"\x00",
        b"\xff\xff\xff\xff" + NO_HEADERS[4:],
        with_headers(b"\x05ab"),
        with_headers(b"\x01a\x07\x00\x09x"),
        with_headers(b"\x01a\x0b"),
        with_headers(b"\x01\xff\x04\x00\x00\x00\x01"),
        with_headers(b"\x01a\x07\x00\x01\xff"),
        with_headers(b"\x01a"),
    ],
)
def test_a_damaged_message_is_one_kind_of_error(message: bytes) -> None:
    with pytest.raises(DamagedError):
        decode(message)


@pytest.mark.parametrize(("total", "headers"), [(15, 0), (0xFFFFFFFF, 0), (20, 5), (eventstream.LONGEST + 1, 0)])
def test_a_length_that_cannot_be_is_refused_before_anything_is_read(total: int, headers: int) -> None:
    prelude = struct.pack(">II", total, headers)
    with pytest.raises(DamagedError, match=f"{total} bytes long"):
        length_of(prelude + struct.pack(">I", zlib.crc32(prelude)))


def damaged(dice: random.Random) -> Iterator[bytes]:
    """A message with some wrong bytes: with the checksums that they have, with those of before, and cut off."""
    good = encode({":message-type": 0, ":stream-id": 7, "operation": "x#Y"}, b'{"a": 1}')
    block = bytearray(good[eventstream.START : -4])
    for _ in range(dice.randint(1, 4)):
        block[dice.randrange(len(block))] = dice.randrange(256)
    cut = dice.randrange(len(block) + 1)
    yield with_headers(bytes(block[:cut]), bytes(block[cut:]))
    message = bytearray(good)
    message[dice.randrange(len(message))] ^= dice.randrange(1, 256)
    yield bytes(message)
    yield good[: dice.randrange(len(good))]
    yield dice.randbytes(dice.randrange(64))


def outcomes(messages: int) -> Counter[str]:
    """How often so many damaged messages were refused, and read all the same because nothing tells."""
    dice, found = random.Random(1), Counter[str]()
    for message in itertools.islice(itertools.chain.from_iterable(damaged(dice) for _ in itertools.count()), messages):
        try:
            decode(message)
        except DamagedError:
            found["refused"] += 1
        else:
            found["read"] += 1
    return found


def test_damaged_messages_raise_nothing_else() -> None:
    found = outcomes(4_000)
    assert 4_000 * 3 // 4 <= found["refused"] < 4_000


@pytest.mark.slow
def test_a_hundred_thousand_damaged_messages_raise_nothing_else_and_leave_no_memory_behind() -> None:
    outcomes(1_000)
    tracemalloc.start()
    try:
        found = outcomes(100_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 100_000 == sum(found.values())
    assert 75_000 <= found["refused"]
    assert peak < eventstream.LONGEST

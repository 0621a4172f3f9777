"""CBOR is read without a tag in it, whole, and as the same values whether by cbor2 or as MessagePack."""

from __future__ import annotations

import struct
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defender_detect.judge.encodings import as_message_pack, check_items, decode, decode_cbor
from device_defender.report import Malformed
from tests.examples import examples

VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.text(max_size=40),
        st.text("a", min_size=200, max_size=300), st.integers(-30, 300),
    ),
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text(max_size=30), inner, max_size=20),
    max_leaves=60,
)  # fmt: skip


@given(VALUES)
@examples(500)
def test_cbor_as_message_pack_holds_the_same(value: Any) -> None:
    packed = as_message_pack(cbor2.dumps(value))
    if packed is not None:
        assert value == msgspec.msgpack.decode(packed)


LENGTHS = [0, 1, 15, 16, 23, 24, 31, 32, 255, 256, 65535]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("of", [lambda n: "x" * n, lambda n: [1] * n, lambda n: {str(i): i for i in range(n)}],
                         ids=["text", "array", "map"])  # fmt: skip
def test_every_length_that_a_report_can_have_is_read_as_message_pack(length: int, of: Any) -> None:
    packed = as_message_pack(cbor2.dumps([of(length), 7]))
    assert packed is not None
    assert [of(length), 7] == msgspec.msgpack.decode(packed)


@pytest.mark.parametrize(
    "number", [0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1, -1, -24, -25, -256, -257, -(2**32), 1.5]
)
def test_every_number_that_a_report_can_have_is_read_as_message_pack(number: float) -> None:
    packed = as_message_pack(cbor2.dumps([number, "x"]))
    assert packed is not None
    assert [number, "x"] == msgspec.msgpack.decode(packed)


TO_CBOR2 = {
    "a tag": b"\xc1\x00",
    "a byte string": b"\x41a",
    "an endless array": b"\x9f\x01\xff",
    "an endless map": b"\xbf\x61a\x01\xff",
    "an endless string": b"\x7f\x61a\xff",
    "half a float": b"\xf9" + struct.pack(">e", 1.5),
    "undefined": b"\xf7",
    "a simple value": b"\xf8\x64",
    "a large negative number": b"\x3b" + b"\xff" * 8,
    "a long string": b"\x7a\x00\x01\x00\x00" + b"x" * 65536,
    "a break": b"\xff",
    "nobody's byte": b"\x1c",
    "the middle of an item": b"\x82\x19\x01",
    "the middle of a string": b"\x64abc",
}


@pytest.mark.parametrize("item", TO_CBOR2.values(), ids=TO_CBOR2)
def test_what_ordinary_reports_do_not_have_is_left_to_cbor2(item: bytes) -> None:
    assert as_message_pack(item) is None


@given(VALUES, st.integers(0, 2**32), st.integers(0, 2**64 - 1))
@examples(300)
def test_a_tag_is_refused_wherever_it_stands(value: Any, place: int, number: int) -> None:
    def tagged(inner: Any) -> Any:
        """Put the tag on one of the values in turn."""
        nonlocal place
        place -= 1
        if place <= 0 and not isinstance(inner, (dict, list)):
            place = 2**40
            return cbor2.CBORTag(number, inner)
        if isinstance(inner, dict):
            return {key: tagged(each) for key, each in inner.items()}
        return [tagged(each) for each in inner] if isinstance(inner, list) else inner

    place %= 8
    payload = cbor2.dumps([tagged(value), cbor2.CBORTag(number, 1)])
    with pytest.raises(Malformed, match="must have no tags"):
        decode_cbor(payload)


@given(VALUES)
@examples(200)
def test_what_has_no_tag_passes_whole_and_not_in_part(value: Any) -> None:
    payload = cbor2.dumps(value)
    check_items(payload)
    assert value == decode_cbor(payload)
    for end in range(0, len(payload), 7):
        with pytest.raises(Malformed):
            decode_cbor(payload[:end])
    with pytest.raises(Malformed, match="must be one item"):
        decode_cbor(payload + b"\x01")


def test_a_guess_of_what_follows_a_report_does_not_pass_for_its_end() -> None:
    """The report is read as the first of two items, of which nobody knows the second."""
    for second in (b"", b"\x50" + bytes(16), b"\x40", b"\xff"):
        with pytest.raises(Malformed):
            decode_cbor(b"\xa0" + second if second else b"")


def test_128_kb_are_the_most() -> None:
    with pytest.raises(Malformed, match="at most 131072 bytes, got 131073"):
        decode(b" " * 131_073, "cbor")

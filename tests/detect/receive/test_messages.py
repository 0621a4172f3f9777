"""Messages are taken apart from other packets, however they arrive, and what is no message is left alone."""

from __future__ import annotations

import pytest

from defender_detect.receive.messages import Message, encode_message, split

PING = b"\xd0\x00"
ACKNOWLEDGED = b"\x90\x03\x00\x01\x00"
LONG = Message("a" * 200, b"x" * 20_000, False)


def packet_of(message: Message) -> bytes:
    return encode_message(message.topic, message.payload)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 30_000])
def test_messages_and_other_packets_are_kept_apart_however_they_arrive(size: int) -> None:
    short = Message("a/ä", b"", False)
    data = PING + packet_of(LONG) + ACKNOWLEDGED + packet_of(short) + packet_of(short) + PING
    messages: list[Message] = []
    others, rest = b"", b""
    for start in range(0, len(data), size):
        found = split(rest + data[start : start + size])
        messages, others, rest = messages + found.messages, others + found.others, found.rest
        assert len(rest) + found.missing <= len(data)
    assert ([LONG, short, short], PING + ACKNOWLEDGED + PING, b"") == (messages, others, rest)


def test_what_is_missing_of_a_packet_is_known_as_soon_as_its_length_is() -> None:
    whole = packet_of(LONG)
    assert [1, 1, 1, len(whole) - 4, 1] == [split(whole[:size]).missing for size in (1, 2, 3, 4, len(whole) - 1)]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"\x32\x05\x00\x01a\x00\x01", "a message at QoS 1"),
        (b"\x30\x02\x00\x05", "a topic that is longer than its packet"),
        (b"\x30\x00", "no topic at all"),
        (b"\x30\x80\x80\x80\x80", "a length of more than four bytes"),
    ],
)
def test_what_is_no_message_at_qos_0_is_left_to_paho(packet: bytes, reason: str) -> None:
    assert ([], packet, b"") == split(packet)[:3], reason


def test_a_retained_message_says_so_and_a_topic_of_no_text_is_readable() -> None:
    (message,) = split(b"\x31\x06\x00\x02\xff/hi").messages
    assert ("\ufffd/", b"hi", True) == message

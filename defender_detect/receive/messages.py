"""Messages at QoS 0, taken out of the bytes of a connection and made into them; other packets are left as they are."""

from __future__ import annotations

from typing import NamedTuple

PUBLISH, RETAINED = 0x30, 0x01  # the first byte of a message at QoS 0, and a bit of it
LONGEST_LENGTH = 4  # bytes in which MQTT writes the length of a packet


class Message(NamedTuple):
    """A message at QoS 0; its topic is as the broker has it, but for what is no UTF-8."""

    topic: str
    payload: bytes
    is_retained: bool


class Split(NamedTuple):
    """What was received, taken apart: messages at QoS 0, other packets, and the beginning of one that is not whole."""

    messages: list[Message]
    others: bytes
    rest: bytes
    missing: int  # bytes of it, as far as is known


def split(data: bytes) -> Split:
    """Take whole packets apart; what is no MQTT goes with the other packets, for who knows MQTT to complain of it."""
    messages: list[Message] = []
    others: list[bytes] = []
    start, size, missing = 0, len(data), 1
    while start + 1 < size:
        length, body = data[start + 1], start + 2
        if length & 0x80:
            length, body = read_length(data, start + 1)
        end = body + length
        if length < 0 or end > size:
            missing = max(1, end - size)
            break
        message = as_message(data, start, body, end)
        if message is None:
            others.append(data[start:end])
        else:
            messages.append(message)
        start = end
    return Split(messages, b"".join(others), data[start:], missing)


def read_length(data: bytes, start: int) -> tuple[int, int]:
    """Return the length of a packet, and where what it counts begins; -1 if that has not arrived yet."""
    length = 0
    for place, byte in enumerate(data[start : start + LONGEST_LENGTH]):
        length |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return length, start + place + 1
    return (-1, start) if len(data) - start < LONGEST_LENGTH else (0, len(data))  # paho ends a connection for that


def as_message(data: bytes, start: int, body: int, end: int) -> Message | None:
    """Return the message that a packet is; None if it is none at QoS 0, or none at all."""
    if data[start] & ~RETAINED != PUBLISH:
        return None
    topic = body + 2
    payload = topic + (data[body] << 8 | data[body + 1]) if topic <= end else end + 1
    if payload > end:
        return None
    return Message(data[topic:payload].decode(errors="replace"), data[payload:end], bool(data[start] & RETAINED))


def encode_message(topic: str, payload: bytes) -> bytes:
    """Return a message at QoS 0 as a packet."""
    name = topic.encode()
    length = 2 + len(name) + len(payload)
    head = bytearray((PUBLISH,))
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return b"%b%b%b%b" % (bytes(head), len(name).to_bytes(2, "big"), name, payload)

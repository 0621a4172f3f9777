"""MQTT 3.1.1 packets as the built-in broker reads and writes them: amqtt's, and the only module that knows amqtt.

Of amqtt the broker uses these classes alone, which turn bytes into packets and back, and overrides none of them. What
amqtt takes and the standard does not (text that is no UTF-8, an end that is missing) is refused here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Union

from defender_detect.errors import BrokerUnavailable, ClientError

INSTEAD = "or run another broker, mosquitto for instance, and connect to it without --embedded-broker"
if sys.version_info < (3, 10):  # noqa: UP036 - the package runs on 3.9, amqtt does not
    FOUND = ".".join(map(str, sys.version_info[:2]))
    raise BrokerUnavailable(f"the built-in broker needs Python 3.10 or later, this is {FOUND}: take that, {INSTEAD}")
try:
    from amqtt.adapters import BufferReader
    from amqtt.mqtt import packet as kinds
    from amqtt.mqtt import packet_dict
    from amqtt.mqtt.connack import ConnackPacket
    from amqtt.mqtt.pingresp import PingRespPacket
    from amqtt.mqtt.puback import PubackPacket
    from amqtt.mqtt.publish import PublishPacket
    from amqtt.mqtt.suback import SubackPacket
    from amqtt.mqtt.unsuback import UnsubackPacket
except ImportError as error:
    raise BrokerUnavailable(f'the built-in broker needs amqtt: pip install "amqtt>=0.12.1,<0.13", {INSTEAD}') from error

SUPPORTED = 4  # the protocol level of MQTT 3.1.1
PROTOCOLS = (b"\0\x04MQTT", b"\0\x06MQIsdp")  # what CONNECT begins with, before the level; the second one is MQTT 3.1's
VERSIONS = {3: "3.1", 5: "5.0"}  # protocol level -> what it is called
FLAGS = {  # kind -> the lower half of a packet's first byte; PUBLISH has flags of its own
    kinds.CONNECT: 0,
    kinds.SUBSCRIBE: 2,
    kinds.UNSUBSCRIBE: 2,
    kinds.PINGREQ: 0,
    kinds.DISCONNECT: 0,
}
GRANTED, REFUSED = 0x00, 0x80  # SUBACK: at QoS 0, and not at all
ACCEPTED, WRONG_CLIENT_ID, NOT_AUTHORIZED = 0, 2, 5  # CONNACK
MOST_FIELDS = 5  # of CONNECT: client ID, will topic, will, user name, password
MALFORMED = "sent a packet that is not MQTT 3.1.1"


@dataclass(frozen=True)
class Publish:
    """A message, from a client or left as its will; `packet_id` is what to acknowledge, None at QoS 0."""

    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int | None = None


@dataclass(frozen=True)
class Connect:
    """A client introduces itself; `client_id` is what it says and proves nothing, empty if it says none."""

    client_id: str
    keeps_session: bool
    keep_alive: int  # seconds; 0: none
    will: Publish | None


@dataclass(frozen=True)
class Subscribe:
    """A client asks for what is published on some filters."""

    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True)
class Unsubscribe:
    """A client wants no more of it."""

    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True)
class Ping:
    """A client says that it is there."""


@dataclass(frozen=True)
class Disconnect:
    """A client leaves, and its will is void."""


class UnsupportedVersion(ClientError):
    """A client speaks another version of MQTT; `reply` says so in its own words."""

    def __init__(self, level: int) -> None:
        self.reply = bytes((0x20, 3, 0, 0x84, 0)) if level == 5 else ConnackPacket.build(0, 1).to_bytes()
        version = VERSIONS.get(level, f"of protocol level {level}")
        super().__init__(
            f"speaks MQTT {version}, and the built-in broker MQTT 3.1.1 only: set the client to 3.1.1 "
            "(paho: protocol=MQTTv311), or run mosquitto and connect to it without --embedded-broker"
        )


Packet = Union[Connect, Publish, Subscribe, Unsubscribe, Ping, Disconnect]


async def decode(first: int, body: bytes) -> Packet:
    """Decode a packet by its first byte and what follows its length; raise ClientError if it is not one."""
    kind, flags = first >> 4, first & 0x0F
    if FLAGS.get(kind, flags if kind == kinds.PUBLISH and flags & 6 != 6 else None) != flags:
        raise ClientError(MALFORMED if kind not in (4, 5, 6, 7) else "acknowledged what it never got")
    if kind == kinds.CONNECT:
        check_version(body)
    try:
        packet = await packet_dict[kind].from_stream(BufferReader(body), kinds.MQTTFixedHeader(kind, flags, len(body)))
        encoded = packet.variable_header.to_bytes() if packet.variable_header else b""
        encoded += packet.payload.to_bytes(packet.fixed_header, packet.variable_header) if packet.payload else b""
        decoded = TAKEN[kind](packet, body)
    except Exception as error:  # noqa: BLE001 - whatever it stumbles over, the bytes are to blame
        raise ClientError(MALFORMED) from error
    if kind != kinds.CONNECT and encoded != body:
        raise ClientError(MALFORMED)
    return decoded


def check_version(body: bytes) -> None:
    """Refuse another version of MQTT, before its packet is read by the rules of this one."""
    for name in PROTOCOLS:
        if body.startswith(name) and len(body) > len(name):
            if body[len(name)] != SUPPORTED:
                raise UnsupportedVersion(body[len(name)])
            return
    raise ClientError(MALFORMED)


def encode_connack(code: int) -> bytes:
    """Encode the answer to CONNECT; there is never a session from before."""
    return bytes(ConnackPacket.build(0, code).to_bytes())


def encode_publish(topic: str, payload: bytes) -> bytes:
    """Encode a message at QoS 0."""
    return bytes(PublishPacket.build(topic, payload, None, False, 0, False).to_bytes())


def encode_puback(packet_id: int) -> bytes:
    """Encode the acknowledgement of a message at QoS 1."""
    return bytes(PubackPacket.build(packet_id).to_bytes())


def encode_suback(packet_id: int, codes: list[int]) -> bytes:
    """Encode the answer to SUBSCRIBE, GRANTED or REFUSED for each filter."""
    return bytes(SubackPacket.build(packet_id, codes).to_bytes())


def encode_unsuback(packet_id: int) -> bytes:
    """Encode the answer to UNSUBSCRIBE."""
    return bytes(UnsubackPacket.build(packet_id).to_bytes())


def encode_pingresp() -> bytes:
    """Encode the answer to a ping."""
    return bytes(PingRespPacket.build().to_bytes())


def _take_connect(packet: Any, body: bytes) -> Connect:
    header = packet.variable_header
    will_of = header.will_qos, header.will_retain_flag
    if header.reserved_flag or header.will_qos > 2 or (any(will_of) and not header.will_flag):
        raise ValueError("flags that exclude each other")
    fields = list(islice(_split(body[len(header.to_bytes()) :]), MOST_FIELDS + 1))  # amqtt takes fewer for enough
    if len(fields) != 1 + 2 * header.will_flag + header.username_flag + header.password_flag:
        raise ValueError("a field that is missing, or too many")
    will = Publish(fields[1].decode(), fields[2], header.will_qos) if header.will_flag else None
    return Connect(fields[0].decode(), not header.clean_session_flag, header.keep_alive, will)


def _split(data: bytes) -> Iterator[bytes]:
    """Yield the fields of CONNECT, each of which has its length before it."""
    end = 0
    while end < len(data):
        start = end + 2
        end = start + int.from_bytes(data[end:start], "big")
        if max(start, end) > len(data):
            raise ValueError("an end that is missing")
        yield data[start:end]


def _take_publish(packet: Any, _: bytes) -> Publish:
    return Publish(packet.topic_name, packet.data, packet.qos, packet.packet_id)


def _take_subscribe(packet: Any, _: bytes) -> Subscribe:
    if not packet.payload.topics or any(qos > 2 for _, qos in packet.payload.topics):
        raise ValueError("no filter, or a QoS that there is not")
    return Subscribe(packet.variable_header.packet_id, tuple(each for each, _ in packet.payload.topics))


def _take_unsubscribe(packet: Any, _: bytes) -> Unsubscribe:
    return Unsubscribe(packet.variable_header.packet_id, tuple(packet.payload.topics))


TAKEN: dict[int, Callable[[Any, bytes], Packet]] = {
    kinds.CONNECT: _take_connect,
    kinds.PUBLISH: _take_publish,
    kinds.SUBSCRIBE: _take_subscribe,
    kinds.UNSUBSCRIBE: _take_unsubscribe,
    kinds.PINGREQ: lambda *_: Ping(),
    kinds.DISCONNECT: lambda *_: Disconnect(),
}

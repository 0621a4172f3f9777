"""amqtt's packets do what the broker relies on, whichever version of amqtt it is; what MQTT forbids is refused."""

from __future__ import annotations

import asyncio
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

if sys.version_info < (3, 10):
    pytest.skip("amqtt needs Python 3.10 or later", allow_module_level=True)
pytest.importorskip("amqtt")

from defender_detect.errors import ClientError
from defender_detect.receive import packets
from defender_detect.receive.packets import (
    Connect,
    Disconnect,
    Packet,
    Ping,
    Publish,
    Subscribe,
    Unsubscribe,
    UnsupportedVersion,
    decode,
)
from tests.detect.receive.raw_client import connect, publish, subscribe, text

ROOT = Path(__file__).resolve().parent.parent.parent.parent


def decoded(data: bytes) -> Packet:
    """Decode a packet of fewer than 128 bytes, as the broker does once it has taken its length off."""
    return asyncio.run(decode(data[0], data[2:]))


GOOD = [  # the standard's own bytes, chapter 3
    (b"\x10\x10\0\x04MQTT\x04\x02\0\x3c\0\x04rpi1", Connect("rpi1", False, 60, None)),
    (b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0", Connect("", False, 0, None)),
    (b"\x10\x0d\0\x04MQTT\x04\0\xff\xff\0\x01a", Connect("a", True, 65_535, None)),
    (b"\x10\x14\0\x04MQTT\x04\x06\0\0\0\x01a\0\x01t\0\x02hi", Connect("a", False, 0, Publish("t", b"hi"))),
    (b"\x10\x14\0\x04MQTT\x04\x2e\0\0\0\x01a\0\x01t\0\x02\xff\0", Connect("a", False, 0, Publish("t", b"\xff\0", 1))),
    (b"\x10\x13\0\x04MQTT\x04\xc2\0\0\0\x01a\0\x01u\0\x01p", Connect("a", False, 0, None)),
    (b"\x10\x13\0\x04MQTT\x04\xc2\0\0\0\x01a\0\x01u\0\x01\xff", Connect("a", False, 0, None)),  # a password is bytes
    (b"\x30\x05\0\x03a/b", Publish("a/b", b"")),
    (b"\x31\x07\0\x03a/bhi", Publish("a/b", b"hi")),
    (b"\x3a\x09\0\x03a/b\0\x0ahi", Publish("a/b", b"hi", 1, 10)),
    (b"\x34\x07\0\x03a/b\0\x0a", Publish("a/b", b"", 2, 10)),
    (b"\x30\x0a\0\x05caf\xc3\xa9\xff\0\x01", Publish("café", b"\xff\0\x01")),
    (b"\x82\x08\0\x0a\0\x03a/b\x01", Subscribe(10, ("a/b",))),
    (b"\x82\x0e\0\x0a\0\x03a/b\x01\0\x03c/#\x02", Subscribe(10, ("a/b", "c/#"))),
    (b"\xa2\x0c\0\x0a\0\x03a/b\0\x03c/d", Unsubscribe(10, ("a/b", "c/d"))),
    (b"\xc0\x00", Ping()),
    (b"\xe0\x00", Disconnect()),
]


@pytest.mark.parametrize(("data", "packet"), GOOD)
def test_a_packet_is_read_as_the_standard_writes_it(data: bytes, packet: Packet) -> None:
    assert packet == decoded(data)


BAD = [
    b"\x00\x00", b"\xf0\x00",  # reserved
    b"\x20\x02\0\0", b"\x90\x03\0\1\0", b"\xb0\x02\0\1", b"\xd0\x00",  # what only a broker sends
    b"\x40\x02\0\1", b"\x50\x02\0\1", b"\x62\x02\0\1", b"\x70\x02\0\1",  # acknowledges what was never sent
    b"\x11\x10\0\x04MQTT\x04\x02\0\x3c\0\x04rpi1", b"\x80\x08\0\x0a\0\x03a/b\x01", b"\xa0\x07\0\x0a\0\x03a/b",  # flags
    b"\xc1\x00", b"\xe2\x00", b"\xc0\x01x", b"\xe0\x01x",
    b"\x36\x07\0\x03a/b\0\x0a",  # QoS 3
    b"\x30\x00", b"\x30\x01\0", b"\x30\x04\0\x03a/", b"\x32\x05\0\x03a/b", b"\x32\x06\0\x03a/b\0",  # an end is missing
    b"\x30\x04\0\x02\xff\xfe", b"\x30\x05\0\x03\xed\xa0\x80",  # no UTF-8, half a surrogate pair
    b"\x30\x05\0\x03a/+", b"\x30\x05\0\x03a/#",  # wildcards
    b"\x82\x00", b"\x82\x02\0\x0a", b"\x82\x07\0\x0a\0\x03a/b", b"\x82\x08\0\x0a\0\x03a/b\x03",
    b"\x82\x08\0\x0a\0\x05a/b\x01",
    b"\x82\x07\0\x0a\0\x02\xff\xfe\x01",
    b"\xa2\x07\0\x0a\0\x04a/b", b"\xa2\x06\0\x0a\0\x02\xff\xfe",
    b"\x10\x00", b"\x10\x01\0", b"\x10\x02\0\x04", b"\x10\x06\0\x04MQTT", b"\x10\x06\xff\xffMQTT",
    b"\x10\x10\0\x04MQTX\x04\x02\0\x3c\0\x04rpi1", b"\x10\x0c\0\0\x04\x02\0\x3c\0\x04rpi1",
    b"\x10\x10\0\x04MQTT\x04\x03\0\x3c\0\x04rpi1",  # the flag that is none
    b"\x10\x10\0\x04MQTT\x04\x0a\0\x3c\0\x04rpi1", b"\x10\x10\0\x04MQTT\x04\x22\0\x3c\0\x04rpi1",  # no will
    b"\x10\x14\0\x04MQTT\x04\x1e\0\0\0\x01a\0\x01t\0\x02hi",  # a will of QoS 3
    b"\x10\x0d\0\x04MQTT\x04\x06\0\0\0\x01a", b"\x10\x0d\0\x04MQTT\x04\x82\0\0\0\x01a",  # will, user: missing
    b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x02a",
]  # fmt: skip


@pytest.mark.parametrize("data", BAD, ids=lambda data: data.hex())
def test_what_is_no_packet_of_a_client_is_refused(data: bytes) -> None:
    with pytest.raises(ClientError, match=r"sent a packet that is not MQTT 3\.1\.1|acknowledged what it never got"):
        decoded(data)


@pytest.mark.parametrize(
    ("level", "reply"), [(5, b"\x20\x03\0\x84\0"), (3, b"\x20\x02\0\x01"), (131, b"\x20\x02\0\x01")]
)
def test_another_version_is_refused_in_its_own_words(level: int, reply: bytes) -> None:
    with pytest.raises(UnsupportedVersion, match="and the built-in broker MQTT 3.1.1 only") as caught:
        decoded(connect("rpi1", level=level))
    assert reply == caught.value.reply


def test_what_the_broker_says_is_as_the_standard_writes_it() -> None:
    assert b"\x20\x02\0\0" == packets.encode_connack(packets.ACCEPTED)
    assert b"\x20\x02\0\x05" == packets.encode_connack(packets.NOT_AUTHORIZED)
    assert b"\x90\x04\0\x0a\0\x80" == packets.encode_suback(10, [packets.GRANTED, packets.REFUSED])
    assert b"\xb0\x02\0\x0a" == packets.encode_unsuback(10)
    assert b"\x40\x02\0\x0a" == packets.encode_puback(10)
    assert b"\xd0\x00" == packets.encode_pingresp()
    assert b"\x30\x08\0\x03a/bhi!" == packets.encode_publish("a/b", b"hi!")
    assert b"\x30\xcd\x01\0\x03a/b" + b"x" * 200 == packets.encode_publish("a/b", b"x" * 200)


def test_no_packet_is_changed_on_its_way_through_the_broker() -> None:
    for topic, payload in [("$aws/things/é b/defender/metrics/json", b"{}"), ("a", bytes(range(256)))]:
        whole = publish(topic, payload)
        start = 2 if len(whole) < 130 else 3
        message = asyncio.run(decode(whole[0], whole[start:]))
        assert isinstance(message, Publish)
        assert whole == packets.encode_publish(message.topic, message.payload)


def test_a_subscription_to_as_much_as_a_packet_holds_is_read() -> None:
    filters = tuple(f"{number}" for number in range(1_000))
    body = subscribe(*filters)[3:]
    assert Subscribe(7, filters) == asyncio.run(decode(0x82, body))
    assert body.endswith(text("999") + b"\0")


def test_amqtt_is_one_of_the_versions_that_this_was_tried_with() -> None:
    assert version("amqtt").startswith("0.12.")


def test_one_module_alone_knows_amqtt_and_its_packets_only() -> None:
    users = {path.name for path in (ROOT / "defender_detect").rglob("*.py") if "amqtt." in path.read_text()}
    assert {"packets.py"} == users
    imported = [line.split()[1] for line in Path(packets.__file__).read_text().splitlines() if "from amqtt" in line]
    assert {"amqtt.adapters"} >= {each for each in imported if not each.startswith("amqtt.mqtt")}

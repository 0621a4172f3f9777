"""The gate lets a thing send, ask for and hear what its certificate allows, whatever it says of itself."""

from __future__ import annotations

import pytest

from defender_detect.receive.gate import Gate, Peer, is_filter

GATE = Gate({"alerts/defender": frozenset({"dashboard"})})
OWN = "$aws/things/rpi-1/defender/metrics/json"
PUBLISHED = [
    ("rpi-1", OWN, True),
    ("rpi-1", "$aws/things/rpi-1/shadow/update", True),
    ("rpi-1", "$aws/things/rpi-10/defender/metrics/json", False),
    ("rpi-1", "$aws/things/rpi-1", False),
    ("rpi-1", "$aws/things//defender/metrics/json", False),
    ("rpi-1", "$aws/things/RPI-1/defender/metrics/json", False),
    ("rpi-1", "$AWS/things/rpi-1/defender/metrics/json", False),
    ("rpi-1", "$aws/rules/mine", False),
    ("rpi-1", "$SYS/broker", False),
    ("rpi-1", "$share/g/a", False),
    ("rpi-1", "$", False),
    ("rpi-1", "own/topic", True),
    ("rpi-1", "/$aws/things/rpi-2", True),  # which is no reserved one
    ("rpi-1", "alerts/defender", False),
    ("dashboard", "alerts/defender", False),  # it may hear, and not speak
    ("rpi-1", "alerts/defender/more", True),
    ("rpi-1", "a/+", False),
    ("rpi-1", "a/#", False),
    ("rpi-1", "", False),
    ("rpi-1", "a\nb", False),
    ("rpi-1", "a\0b", False),
    ("rpi-1", "a\u202eb", False),
    ("rpi-1", "a" * 256, True),
    ("rpi-1", "é" * 129, False),
    ("rpi-1", "1/2/3/4/5/6/7/8", True),
    ("rpi-1", "1/2/3/4/5/6/7/8/9", False),
    ("a@b.example", "$aws/things/a@b.example/defender/metrics/cbor", True),
    ("edge.gw.1", "$aws/things/edge.gw.1/defender/metrics/cbor", True),
    ("", "$aws/things//defender/metrics/json", False),
    ("", "own/topic", True),
    ("+", "$aws/things/+/defender/metrics/json", False),
    ("a/b", "$aws/things/a/b/defender/metrics/json", False),
    ("a\nb", "$aws/things/a\nb/defender/metrics/json", False),
]


@pytest.mark.parametrize(("name", "topic", "allowed"), PUBLISHED)
def test_a_thing_publishes_to_its_own_topics_only(name: str, topic: str, allowed: bool) -> None:
    assert allowed == GATE.may_publish(Peer(name, 1), topic)


SUBSCRIBED = [
    ("rpi-1", f"{OWN}/accepted", True),
    ("rpi-1", f"{OWN}/+", True),
    ("rpi-1", "$aws/things/rpi-1/#", True),
    ("rpi-1", "$aws/things/+/defender/metrics/json/accepted", False),
    ("rpi-1", "$aws/things/#", False),
    ("rpi-1", "$aws/things/rpi-1#", False),
    ("rpi-1", "$aws/+/rpi-1/defender/metrics/json/accepted", False),
    ("rpi-1", "+/things/rpi-2/defender/#", True),  # which MQTT keeps from matching a reserved topic
    ("rpi-1", "#", True),
    ("rpi-1", "alerts/#", True),  # what it then hears is asked at each message
    ("rpi-1", "$share/group/#", False),
    ("rpi-1", "$SYS/#", False),
    ("rpi-1", "a/#/b", False),
    ("rpi-1", "a+/b", False),
    ("rpi-1", "", False),
    ("+", "$aws/things/+/defender/metrics/json/accepted", False),
    ("#", "$aws/things/#", False),
    ("", "$aws/things//#", False),
]


@pytest.mark.parametrize(("name", "topic_filter", "allowed"), SUBSCRIBED)
def test_a_thing_asks_for_its_own_topics_only(name: str, topic_filter: str, allowed: bool) -> None:
    assert allowed == GATE.may_subscribe(Peer(name, 1), topic_filter)


@pytest.mark.parametrize(
    ("name", "topic", "allowed"),
    [("rpi-1", "alerts/defender", False), ("dashboard", "alerts/defender", True), ("rpi-1", "alerts/other", True)],
)
def test_only_who_is_named_hears_alerts(name: str, topic: str, allowed: bool) -> None:
    assert allowed == GATE.may_receive(Peer(name, 1), topic)


def test_detect_deals_with_all_things_and_not_with_nonsense() -> None:
    detect = Peer("detect", 1, is_detect=True)
    assert GATE.may_subscribe(detect, "$aws/things/+/defender/metrics/json")
    assert GATE.may_publish(detect, f"{OWN}/accepted")
    assert GATE.may_publish(detect, "alerts/defender")
    assert GATE.may_receive(detect, "alerts/defender")
    assert not GATE.may_publish(detect, "a/#")


def test_a_thing_that_is_called_as_detect_is_has_no_part_in_its_rights() -> None:
    thing, detect = Peer("detect", 2), Peer("detect", 1, is_detect=True)
    assert not GATE.may_publish(thing, f"{OWN}/accepted")
    assert thing.account != detect.account


def test_a_new_certificate_of_a_thing_brings_no_new_share() -> None:
    assert Peer("rpi-1", 1).account == Peer("rpi-1", 2).account
    assert Peer("", 1).account != Peer("", 2).account
    assert Peer("7", 1).account != Peer("", 7).account


class Certificate:
    """What Python's ssl says of a peer's certificate."""

    def __init__(self, *names: str, serial: str = "0A1B", der: bytes = b"theirs") -> None:
        self._subject = tuple((("commonName", name),) for name in names)
        self._serial, self._der = serial, der

    def getpeercert(self, binary: bool = False) -> object:
        if binary:
            return self._der
        country = (("countryName", "DE"), ("organizationName", "x"))
        return {"subject": (country, *self._subject), "serialNumber": self._serial}


@pytest.mark.parametrize(
    ("certificate", "peer"),
    [
        (Certificate("rpi-1"), Peer("rpi-1", 0xA1B)),
        (Certificate(), Peer("", 0xA1B)),
        (Certificate("rpi-1", "rpi-2"), Peer("", 0xA1B)),  # who is it?
        (Certificate("rpi-1", der=b"ours"), Peer("rpi-1", 0xA1B, is_detect=True)),
    ],
)
def test_a_client_is_who_its_certificate_says(certificate: Certificate, peer: Peer) -> None:
    assert peer == Peer.of(certificate, b"ours")  # type: ignore[arg-type]


def test_a_name_cannot_break_out_of_its_line() -> None:
    shown = str(Peer("a\nb\x1b[31m\u202e" + "x" * 1_000, 255))
    assert shown.isprintable()
    assert shown.startswith("'a\\nb\\x1b[31m\\u202exx")
    assert shown.endswith("xx' (certificate FF)")
    assert len(shown) < 200


@pytest.mark.parametrize(
    ("text", "valid"),
    [("a/b", True), ("+", True), ("#", True), ("a/+/b", True), ("a/#", True), ("+/+", True), ("/", True),
     ("a#", False), ("#/a", False), ("a/b+", False), ("++", False), ("##", False), ("a/+#", False)],
)  # fmt: skip
def test_wildcards_stand_where_mqtt_wants_them(text: str, valid: bool) -> None:
    assert valid == is_filter(text)

"""A client of the built-in broker that means harm gets nothing, keeps nobody out, and fills neither memory nor log."""

from __future__ import annotations

import logging
import queue
import socket
import ssl
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
if sys.version_info < (3, 10):
    pytest.skip("amqtt needs Python 3.10 or later", allow_module_level=True)
pytest.importorskip("amqtt")

from defender_detect.receive.credentials import Credentials
from defender_detect.receive.embedded import EmbeddedBroker
from defender_detect.receive.endpoint import Endpoint
from defender_detect.receive.limits import Limits
from demo.authority import Authority
from tests.detect.receive.raw_client import (
    CONNACK,
    DISCONNECT,
    HOST,
    PATIENCE,
    PING,
    RawClient,
    connect,
    packet,
    publish,
    subscribe,
    text,
)
from tests.detect.receive.test_receiver import Listening, credentials_of, report
from tests.waiting import wait_until

VICTIM = "$aws/things/victim/defender/metrics/json"
EVIL = "$aws/things/evil/defender/metrics/json"
ALERTS = "alerts/defender"
ENDLESS = 1_000_000.0  # seconds; longer than any test


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def issue(authority: Authority) -> Callable[[str], Credentials]:
    """Return the credentials of a name; each gets one certificate."""
    issued: dict[str, Credentials] = {}

    def issue(name: str) -> Credentials:
        if name not in issued:
            issued[name] = credentials_of(authority, authority.issue(name, ["localhost", HOST] * (name == "detect")))
        return issued[name]

    return issue


class Scene:
    """A broker with what connects to it."""

    def __init__(
        self, broker: EmbeddedBroker, limits: Limits, issue: Callable[[str], Credentials], detect: RawClient
    ) -> None:
        self.broker, self.limits, self.detect = broker, limits, detect
        self._issue = issue
        self._came = [detect]

    def stranger(self, name: str, **options: Any) -> RawClient:
        """Come with a certificate, and say nothing yet."""
        self._came.append(RawClient(self.broker.endpoint, self._issue(name), **options))
        return self._came[-1]

    def hurry(self, **limits: float) -> None:
        """Give whoever comes from here on so many seconds, and not Detect, which is there already."""
        for name, seconds in limits.items():
            object.__setattr__(self.limits, name, seconds)

    def close(self) -> None:
        """Let everybody leave, for whom the broker would wait, and stop it."""
        for client in self._came:
            client.socket.close()
        self.broker.stop()

    def client(self, name: str, client_id: str | None = None, **options: Any) -> RawClient:
        """Come with a certificate, and be welcome."""
        return self.stranger(name).connect(client_id or name, **options)

    def serves(self, name: str = "victim") -> bool:
        """Tell whether a newcomer gets in and what it reports reaches Detect."""
        topic, mark = f"$aws/things/{name}/defender/metrics/json", report(4711)
        self.client(name, f"{name}-newcomer").send(publish(topic, mark))
        return any((topic, mark) == message for message in self.messages())

    def messages(self) -> Iterator[tuple[str, bytes]]:
        """Yield what reaches Detect."""
        for first, body in self.detect.packets():
            if first >> 4 == 3:
                size = struct.unpack("!H", body[:2])[0]
                yield body[2 : 2 + size].decode(), body[2 + size :]


@pytest.fixture(scope="module")
def serving(issue: Callable[[str], Credentials]) -> Callable[..., Any]:
    """Return what runs a broker with some limits, to which Detect listens."""

    @contextmanager
    def serving(revoked: Path | None = None, **options: Any) -> Iterator[Scene]:
        alerts, limits = {ALERTS: frozenset({"reader"})}, Limits(**options)
        broker = EmbeddedBroker(Endpoint(HOST, 0), issue("detect"), alerts, revoked, limits)
        broker.start()
        detect = RawClient(broker.endpoint, issue("detect")).connect("detect")
        detect.send(subscribe("$aws/things/+/defender/metrics/json", "own/topic"))
        assert (0x90, b"\0\x07\0\0") == detect.read()
        with closing(Scene(broker, limits, issue, detect)) as scene:
            yield scene

    return serving


@pytest.fixture(autouse=True)
def attentive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait for the broker's next look at the clock."""
    monkeypatch.setattr("defender_detect.receive.broker.WATCH", 0.02)


@pytest.fixture
def scene(serving: Callable[..., Any]) -> Iterator[Scene]:
    with serving() as scene:
        yield scene


# Speaking for another


def test_a_will_is_held_to_the_topics_of_its_owner(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    evil = scene.stranger("evil").send(connect("evil", will=(VICTIM, report(666))))
    assert [(0x20, b"\0\x05")] == list(evil.packets())
    assert scene.serves()
    assert f"may not publish to '{VICTIM}', the topic of its will" in caplog.text
    assert "'evil' (certificate " in caplog.text


def test_a_will_of_ones_own_is_published_when_its_owner_vanishes(scene: Scene) -> None:
    scene.client("evil", will=(EVIL, report(5))).vanish()
    assert (EVIL, report(5)) == next(scene.messages())


def test_a_will_is_invalid_once_its_owner_says_goodbye(scene: Scene) -> None:
    assert scene.client("evil", will=(EVIL, report(5))).send(DISCONNECT).is_closed()
    scene.client("evil", "again").send(publish(EVIL, report(6)))
    assert (EVIL, report(6)) == next(scene.messages())


def test_what_is_published_for_another_ends_the_connection_and_names_the_certificate(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    assert scene.client("evil", "victim").send(publish(VICTIM, report(1))).is_closed()
    assert scene.serves()
    (line,) = [record.getMessage() for record in caplog.records if "may not" in record.getMessage()]
    assert line.startswith("'evil' (certificate ")
    assert line.endswith(f"): may not publish to '{VICTIM}': connection closed")


def test_a_client_id_that_another_certificate_has_ends_nobodys_connection(scene: Scene) -> None:
    victim = scene.client("victim").send(subscribe(f"{VICTIM}/+"))
    assert (0x90, b"\0\x07\0") == victim.read()
    for _ in range(10):
        scene.client("evil", "victim").vanish()
    scene.client("evil", "victim", clean=False)
    scene.detect.send(publish(f"{VICTIM}/accepted", b"{}"))
    assert (0x30, text(f"{VICTIM}/accepted") + b"{}") == victim.read()


def test_nothing_that_one_client_leaves_in_a_session_is_there_for_the_next(scene: Scene) -> None:
    evil = scene.client("evil", "victim", clean=False)
    assert (0x90, b"\0\x07\0") == evil.send(subscribe("own/topic")).read()
    assert evil.send(publish(VICTIM, report(666), qos=2, packet_id=9)).is_closed()
    victim = scene.client("victim", clean=False)  # CONNACK says that there is no session
    assert victim.send(b"\x62\2\0\x09").is_closed()  # PUBREL
    again = scene.client("evil", "victim", clean=False)
    scene.detect.send(publish("own/topic", b"1"))
    assert (b"1", []) == (next(payload for _, payload in scene.messages()), again.heard())
    assert scene.serves()


@pytest.mark.parametrize(
    "topic_filter",
    [
        "$aws/things/+/defender/metrics/json/accepted",
        f"{VICTIM}/accepted",
        "$aws/#",
        "$SYS/#",
        "+/things/victim/defender/metrics/json/accepted",
        f"$share/group/{VICTIM}/accepted",
        "$share/group/#",
        "#",
        "+/#",
    ],
)
def test_no_filter_lets_a_thing_hear_what_another_is_told(topic_filter: str, scene: Scene) -> None:
    evil = scene.client("evil").send(subscribe(topic_filter))
    assert 0x90 == evil.read()[0]  # type: ignore[index]
    scene.detect.send(publish(f"{VICTIM}/accepted", b"{}") + PING)
    assert any(first == 0xD0 for first, _ in scene.detect.packets())
    assert [] == evil.heard()


def test_nothing_is_retained(scene: Scene) -> None:
    evil = scene.client("evil").send(packet(0x31, text("own/topic") + b"kept"))
    assert [] == evil.heard()
    assert [] == evil.send(subscribe("own/topic")).heard()


# Alerts


def test_a_thing_can_neither_hear_an_alert_nor_forge_one(scene: Scene) -> None:
    evil, reader = scene.client("evil"), scene.client("reader")
    assert (0x90, b"\0\x07\0\0\0") == evil.send(subscribe(ALERTS, "alerts/#", "#")).read()
    assert (0x90, b"\0\x07\0") == reader.send(subscribe("alerts/+")).read()
    scene.detect.send(publish(ALERTS, b"alarm"))
    assert (0x30, text(ALERTS) + b"alarm") == reader.read()
    assert [] == evil.heard()
    assert evil.send(publish(ALERTS, b"forged")).is_closed()
    assert scene.client("reader", "another").send(publish(ALERTS, b"forged")).is_closed()
    assert [] == reader.heard()
    assert [(0x20, b"\0\x05")] == list(scene.stranger("evil").send(connect("e", will=(ALERTS, b"forged"))).packets())


# Keeping others out


def test_connections_that_show_no_certificate_keep_nobody_out(serving: Callable[..., Any]) -> None:
    with serving(strangers=4, handshake=ENDLESS) as scene:
        endpoint = scene.broker.endpoint
        held = [socket.create_connection((endpoint.host, endpoint.port), PATIENCE) for _ in range(50)]
        assert scene.serves()
        assert b"" == ended(held[0])
        for each in held:
            each.close()


def ended(connection: socket.socket) -> bytes:
    """Wait for the end of a connection."""
    try:
        return connection.recv(1)
    except ConnectionError:
        return b""


@pytest.mark.parametrize(
    "hello", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], ids=["nothing", "half a hello"]
)
def test_tls_that_is_not_finished_in_time_ends(hello: bytes, serving: Callable[..., Any]) -> None:
    with serving() as scene:
        scene.hurry(handshake=0.1)
        endpoint = scene.broker.endpoint
        with socket.create_connection((endpoint.host, endpoint.port), PATIENCE) as half_open:
            half_open.sendall(hello)
            assert b"" == ended(half_open)


def test_one_certificate_cannot_take_all_connections(serving: Callable[..., Any]) -> None:
    with serving(connections=3, connect=ENDLESS, connections_in_all=5) as scene:
        held = [scene.stranger("evil") for _ in range(20)]
        assert held[0].is_closed()
        assert scene.serves()


def test_a_client_that_sends_no_connect_is_closed(
    serving: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with serving() as scene:
        scene.hurry(connect=0.1)
        assert scene.stranger("evil").is_closed()
        assert scene.stranger("evil").send(connect("evil")[:5]).is_closed()
    assert "'evil' (certificate " in caplog.text
    assert "said nothing for too long" in caplog.text


@pytest.mark.parametrize("keep_alive", [0, 65_535])
def test_a_client_that_wants_no_keep_alive_has_the_longest(keep_alive: int, serving: Callable[..., Any]) -> None:
    with serving() as scene:
        scene.hurry(keep_alive=0.1)
        assert scene.client("evil", keep_alive=keep_alive).is_closed()


def test_a_packet_that_comes_in_drops_must_end_in_time(serving: Callable[..., Any]) -> None:
    with serving() as scene:
        scene.hurry(one_packet=0.1)
        assert scene.client("evil").send(publish("own/topic", b"x" * 100)[:50]).is_closed()


def test_a_full_broker_says_so_and_serves_those_it_has(
    serving: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with serving(connections_in_all=2) as scene:
        victim = scene.client("victim")
        assert scene.stranger("another").is_closed()
        victim.send(publish(VICTIM, report(3)))
        assert (VICTIM, report(3)) == next(scene.messages())
    assert "comes when all 2 connections are taken" in caplog.text


# Taking memory


@pytest.mark.parametrize(
    "bad",
    [
        packet(0x82, b"\0\x07", 200_000_000),
        packet(0xA2, b"\0\x07", 200_000_000),
        packet(0x82, b"\0\x07" + b"\0\0\0" * 43_000),
        packet(0xA2, b"\0\x07" + b"\0\0" * 64_000),
        packet(0x30, text("own/topic"), 140_000),
        packet(0x10, b"", 268_435_455),
        b"\x30\xff\xff\xff\xff",
        publish("own/topic", b"x", qos=2),
        publish("own/topic", b"x", qos=3),
    ],
    ids=[
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "many filters",
        "many filters less",
        "PUBLISH",
        "CONNECT",
        "endless length",
        "QoS 2",
        "QoS 3",
    ],
)
def test_a_packet_that_would_take_memory_ends_the_connection_before_it_is_read(bad: bytes, scene: Scene) -> None:
    assert scene.client("evil").send(bad).is_closed()
    assert scene.serves()


def test_a_client_that_does_not_read_is_sent_only_so_much(
    serving: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with serving(unsent=10_000, messages_per_second=ENDLESS, bytes_per_second=1e12) as scene:
        deaf = scene.stranger("deaf", receive_buffer=4_096).connect("deaf")
        assert (0x90, b"\0\x07\0") == deaf.send(subscribe("noise")).read()
        noise = publish("noise", b"x" * 100_000)
        for _ in range(200):  # 20 MB
            scene.detect.send(noise)
        assert wait_until(lambda: "'deaf' (certificate " in caplog.text, PATIENCE)
        assert "does not read what is sent to it: messages are dropped" in caplog.text
        scene.detect.socket.close()
        assert sum(len(body) for first, body in [*until_ping(deaf)] if first == 0x30) < 15_000_000


def until_ping(client: RawClient) -> Iterator[tuple[int, bytes]]:
    """Yield what comes before the answer to a ping."""
    client.send(PING)
    yield from iter(client.read, (0xD0, b""))


def test_a_client_that_reads_nothing_for_long_is_closed(
    serving: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with serving(unsent=1_000) as scene:
        scene.hurry(stalled=0.1)
        deaf = scene.stranger("deaf", receive_buffer=4_096).connect("deaf")
        assert (0x90, b"\0\x07\0") == deaf.send(subscribe("noise")).read()
        for _ in range(100):
            scene.detect.send(publish("noise", b"x" * 100_000))
        assert wait_until(lambda: "has not read anything for" in caplog.text, PATIENCE)


def test_the_number_of_filters_is_bounded(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    evil = scene.client("evil")
    codes = []
    for number in range(10):
        codes += [*evil.send(subscribe(*[f"f/{number}/{each}" for each in range(8)])).read()[1][2:]]  # type: ignore[index]
    assert [0] * 50 + [0x80] * 30 == codes
    assert (0x90, b"\0\x07\0") == evil.send(subscribe("f/0/0")).read()  # which it has
    assert (0xB0, b"\0\x01") == evil.send(packet(0xA2, b"\0\x01" + text("f/0/0"))).read()
    assert (0x90, b"\0\x07\0") == evil.send(subscribe("another")).read()
    assert "has 50 filters, and no room for 'f/6/2'" in caplog.text
    assert evil.send(subscribe(*"123456789")).is_closed()


# Taking time


def test_a_certificate_that_floods_waits_and_others_do_not(serving: Callable[..., Any]) -> None:
    with serving(messages_per_second=0.0001, saved=100_000.0) as scene:  # 10 at once, and then one in three hours
        evil = [scene.stranger("evil").send(connect(f"{n}") + publish(EVIL, b"{}") * 500) for n in range(3)]
        assert CONNACK == evil[0].read()
        scene.client("victim").send(publish(VICTIM, report(3)))
        arrived = iter(topic for topic, _ in scene.messages())
        before = list(iter(lambda: next(arrived), VICTIM))
        scene.client("another").send(publish("$aws/things/another/defender/metrics/json"))
        after = list(iter(lambda: next(arrived), "$aws/things/another/defender/metrics/json"))
        assert {EVIL} >= {*before, *after}
        assert len(before) + len(after) < 10


@pytest.mark.parametrize("name", ["a@b.example", "edge.gw.1", "café 1"])
def test_a_thing_with_a_name_that_aws_takes_is_served(name: str, scene: Scene) -> None:
    topic = f"$aws/things/{name}/defender/metrics/json"
    thing = scene.client(name)
    assert (0x90, b"\0\x07\0") == thing.send(subscribe(f"{topic}/+")).read()
    thing.send(publish(topic, report(3)))
    assert (topic, report(3)) == next(scene.messages())
    scene.detect.send(publish(f"{topic}/accepted", b"{}"))
    assert (0x30, text(f"{topic}/accepted") + b"{}") == thing.read()


# The log

FORGED = "x\n2026-11-30 09:00:00,000 WARNING victim: alarm-cleared: FORGED\x1b[31m\x9b\u202e"


def test_nothing_that_a_client_says_is_logged_as_it_is(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for said in (
        connect(FORGED) + b"\xf0\0",
        connect(FORGED, will=(FORGED, b"")),
        connect("e") + publish(FORGED, b"x"),
        connect("e") + subscribe(FORGED) + b"\x40\2\0\1",
        connect("e") + publish(b"\xff\xfe\n", b"x"),
        packet(0x10, text(FORGED) + b"\x04\2\0\0\0\0"),
    ):
        evil = scene.stranger("evil").send(said)
        assert [] == [each for each in evil.packets() if each[0] >> 4 == 3]
    assert [] == [record for record in caplog.records if not record.getMessage().isprintable()]


def test_what_a_client_does_wrong_is_logged_once_and_counted(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(10):
        assert scene.client("evil").send(b"\x40\2\0\1" * 1_000).is_closed()
    lines = [record.getMessage() for record in caplog.records if "evil" in record.getMessage()]
    assert 1 == len([line for line in lines if "acknowledged what it never got" in line])
    assert [] == [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    ("level", "reply", "version"), [(5, (0x20, b"\0\x84\0"), "MQTT 5.0"), (3, (0x20, b"\0\x01"), "MQTT 3.1")]
)
def test_a_client_of_another_version_is_told_so(
    level: int, reply: tuple[int, bytes], version: str, scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    assert [reply] == list(scene.stranger("thing").send(connect("thing", level=level)).packets())
    assert f"speaks {version}, and the built-in broker MQTT 3.1.1 only: set the client to 3.1.1" in caplog.text


def test_a_paho_client_of_mqtt_5_hears_why_it_cannot_connect(scene: Scene, issue: Callable[[str], Credentials]) -> None:
    import paho.mqtt.client as mqtt

    reasons: queue.Queue[str] = queue.Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "thing", protocol=mqtt.MQTTv5, reconnect_on_failure=False)
    client.tls_set_context(issue("thing").client_context())
    client.on_connect = lambda *arguments: reasons.put(str(arguments[3]))
    client.connect(HOST, scene.broker.endpoint.port)
    client.loop_start()
    assert "Unsupported protocol version" == reasons.get(timeout=PATIENCE)
    client.loop_stop()


# Shutting one out


@pytest.mark.parametrize("by", ["thing", "serial"])
def test_a_single_certificate_can_be_shut_out_and_let_in_again(
    by: str, serving: Callable[..., Any], issue: Callable[[str], Credentials], tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    revoked = tmp_path / "revoked.txt"
    with serving(revoked) as scene:
        evil = scene.client("evil", will=(EVIL, report(666)))
        revoked.write_text(f"# stolen\n{by} {'evil' if by == 'thing' else serial_of(issue('evil'))}\n")
        assert evil.is_closed()
        assert scene.stranger("evil").is_closed()
        assert "'evil' (certificate " in caplog.text
        assert "is shut out: connection closed" in caplog.text
        assert scene.serves()  # and the first that Detect hears is not the will
        revoked.unlink()
        assert wait_until(lambda: scene.stranger("evil").send(connect("evil")).read() == CONNACK, PATIENCE)


def serial_of(credentials: Credentials) -> str:
    from cryptography import x509

    return f"{x509.load_pem_x509_certificate(credentials.certificate.read_bytes()).serial_number:X}"


def test_detect_with_a_certificate_of_its_own_hears_everything(
    scene: Scene, issue: Callable[[str], Credentials]
) -> None:
    with Listening(scene.broker.endpoint, issue("detect"), minimum_interval=0) as listening:
        listening.wait()
        thing = scene.client("edge").send(subscribe("$aws/things/edge/defender/metrics/json/+"))
        assert (0x90, b"\0\x07\0") == thing.read()
        thing.send(publish("$aws/things/edge/defender/metrics/json", report(8), qos=1, packet_id=5))
        arrived = dict([thing.read(), thing.read()])  # type: ignore[list-item]
        assert b"\0\x05" == arrived[0x40]
        assert b'"status":"ACCEPTED"' in arrived[0x30].replace(b" ", b"")


def test_no_session_of_tls_is_resumed_without_a_look_at_the_certificate(issue: Callable[[str], Credentials]) -> None:
    context = issue("detect").server_context()
    assert 0 == context.num_tickets
    assert ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION == context.options & (ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION)

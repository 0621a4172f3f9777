"""The built-in broker lets in whom its authority knows, keeps things apart and loses no report."""

from __future__ import annotations

import queue
import resource
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")
if sys.version_info < (3, 10):
    pytest.skip("amqtt needs Python 3.10 or later", allow_module_level=True)
pytest.importorskip("amqtt")

from defender_detect.receive.broker import files_for_connections
from defender_detect.receive.credentials import Credentials
from defender_detect.receive.embedded import EmbeddedBroker
from defender_detect.receive.endpoint import Endpoint
from defender_detect.receive.limits import Limits
from demo.authority import Authority
from tests.detect.receive.test_receiver import HOST, PATIENCE, Listening, Thing, credentials_of, report

REPORTS = 2_000
TOPIC = "$aws/things/thing/defender/metrics/json"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def credentials(authority: Authority) -> Credentials:
    return credentials_of(authority, authority.issue("detect", ["localhost", HOST]))


@pytest.fixture(scope="module")
def thing_credentials(authority: Authority) -> Credentials:
    return credentials_of(authority, authority.issue("thing"))


@pytest.fixture(scope="module")
def broker(credentials: Credentials) -> Iterator[EmbeddedBroker]:
    embedded = EmbeddedBroker(Endpoint(HOST, 0), credentials)
    embedded.start()
    yield embedded
    embedded.stop()


@pytest.fixture
def detect(broker: EmbeddedBroker, credentials: Credentials) -> Iterator[Listening]:
    with Listening(broker.endpoint, credentials, minimum_interval=0) as listening:
        listening.wait()
        yield listening


@pytest.fixture
def thing(broker: EmbeddedBroker, thing_credentials: Credentials) -> Iterator[Thing]:
    connected = Thing(broker.endpoint, thing_credentials, "thing").listen()
    yield connected
    connected.leave()


def test_2000_of_2000_reports_are_answered_over_mutual_tls(credentials, thing_credentials):
    embedded = EmbeddedBroker(Endpoint(HOST, 0), credentials, limits=Limits(messages_per_second=10_000.0))
    embedded.start()
    with Listening(embedded.endpoint, credentials, minimum_interval=0) as listening:
        listening.wait()
        thing = Thing(embedded.endpoint, thing_credentials, "thing").listen()
        for number in range(1, REPORTS + 1):
            thing.publish(report(number))
        replies = [thing.replies.get(timeout=PATIENCE) for _ in range(REPORTS)]
        thing.leave()
    embedded.stop()
    assert {"accepted"} == {verdict for verdict, _ in replies}
    assert set(range(1, REPORTS + 1)) == {reply["reportId"] for _, reply in replies}


def test_the_largest_report_passes_and_a_larger_one_is_told_so(detect, thing):
    filler = 131_072 - len(report())
    assert thing.ask(report() + b" " * filler)[0] == "accepted"
    assert thing.ask(report() + b" " * (filler + 1))[0] == "rejected"


def connect(endpoint: Endpoint, context: ssl.SSLContext) -> bytes:
    """Connect over TLS, send MQTT's CONNECT and return what comes back."""
    plain = socket.create_connection((endpoint.host, endpoint.port), PATIENCE)
    with plain, context.wrap_socket(plain, server_hostname=HOST) as connection:
        connection.sendall(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05thing")
        return connection.recv(4)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def test_only_a_client_with_a_certificate_of_the_authority_gets_in(
    version, broker, authority, thing_credentials, tmp_path
):
    other = Authority(tmp_path / "other")
    stranger = other.issue("thing")
    expired = authority.issue_expired("expired")
    own = thing_credentials.client_context()
    none = ssl.create_default_context(cafile=str(authority.certificate))
    replies = []
    for context, files in ((own, None), (none, None), (none, stranger), (none, expired)):
        context.maximum_version = version
        if files is not None:
            context.load_cert_chain(files.certificate, files.private_key)
        try:
            replies.append(connect(broker.endpoint, context))
        except (ssl.SSLError, ConnectionError):
            replies.append(b"")
    assert replies == [b"\x20\x02\x00\x00", b"", b"", b""]


def test_a_client_without_tls_is_not_answered(broker):
    with socket.create_connection((HOST, broker.endpoint.port), PATIENCE) as plain:
        plain.sendall(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05thing")
        plain.settimeout(PATIENCE)
        try:
            answer = plain.recv(100)
        except ConnectionResetError:
            answer = b""
    assert b"\x20\x02" not in answer


FORBIDDEN = ["$aws/things/another/defender/metrics/json", "$aws/events/presence", "$SYS/broker"]


@pytest.mark.parametrize("topic", FORBIDDEN)
def test_a_thing_that_publishes_where_it_may_not_is_cut_off(topic, broker, detect, thing, monkeypatch):
    answered = []
    monkeypatch.setattr(detect.receiver, "answer", lambda topic, _: answered.append(topic))
    thing.publish(report(), topic)
    assert thing.lost.wait(PATIENCE)
    assert answered == []


@pytest.mark.parametrize(
    ("topic_filter", "granted"),
    [
        ("$aws/things/thing/defender/metrics/cbor/accepted", True),
        ("$aws/things/another/defender/metrics/json/accepted", False),
        ("$aws/things/+/defender/metrics/json", False),
        ("$aws/#", False),
        ("my/own/topic", True),
    ],
)
def test_a_thing_may_listen_to_its_own_reserved_topics_only(topic_filter, granted, thing):
    assert granted == thing.subscribe(topic_filter)


def test_a_thing_hears_nothing_of_another_one(broker, detect, thing, authority):
    other = Thing(broker.endpoint, credentials_of(authority, authority.issue("other")), "other").listen()
    assert thing.subscribe("#")
    assert other.ask(report(1))[0] == "accepted"
    before = time.time()
    answer = thing.ask(report(2))[1]
    assert answer == {**thing_reply(2), "timestamp": answer["timestamp"]}
    assert before * 1000 <= answer["timestamp"] + 1 <= time.time() * 1000 + 1
    assert thing.replies.empty()
    other.leave()


def thing_reply(report_id: int) -> dict[str, object]:
    return {"thingName": "thing", "reportId": report_id, "status": "ACCEPTED"}


@pytest.mark.parametrize("clean_session", [True, False])
def test_a_client_id_is_no_identity(clean_session, broker, detect, thing, authority, monkeypatch):
    """A client that takes over the client ID and the session of another thing has none of its rights."""
    arrived: list[bytes] = []
    monkeypatch.setattr(detect.receiver, "answer", lambda _, payload: arrived.append(payload))
    thief = Thing(broker.endpoint, credentials_of(authority, authority.issue("thief")), "thing", clean_session)
    thief.publish(report(), TOPIC)
    assert thief.lost.wait(PATIENCE)
    assert arrived == []
    thief.leave()


def test_a_second_connection_with_the_same_client_id_ends_the_first(broker, thing, thing_credentials):
    second = Thing(broker.endpoint, thing_credentials, "thing")
    assert thing.lost.wait(PATIENCE)
    assert second.subscribe("my/own/topic")  # it is served
    second.leave()


def test_a_packet_that_is_too_large_ends_the_connection_before_it_is_read(broker, detect, thing):
    thing.publish(b" " * 1_000_000)
    assert thing.lost.wait(PATIENCE)
    with pytest.raises(queue.Empty):
        thing.replies.get_nowait()


def test_reports_sent_right_before_the_thing_leaves_arrive(broker, detect, thing, monkeypatch):
    arrived: queue.Queue[bytes] = queue.Queue()
    monkeypatch.setattr(detect.receiver, "answer", lambda _, payload: arrived.put(payload))
    for number in range(1, 101):
        thing.publish(report(number))
    thing.client.disconnect()
    assert [arrived.get(timeout=PATIENCE) for _ in range(100)] == [report(number) for number in range(1, 101)]


def test_nothing_is_retained(broker, detect, thing, thing_credentials):
    thing.client.publish("my/own/topic", b"1", retain=True, qos=1).wait_for_publish(PATIENCE)
    assert thing.subscribe("my/own/topic")
    assert thing.ask(report())[0] == "accepted"  # had anything been retained, it would have come before


def listening_addresses(port: int) -> set[str]:
    """The local addresses that listen on a port, as the kernel writes them."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if int(row[1].split(":")[1], 16) == port and row[3] == "0A"}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc/net/tcp")
def test_the_broker_listens_on_the_loopback_address_only(broker):
    assert listening_addresses(broker.endpoint.port) == {"0100007F"}


@pytest.mark.parametrize(
    ("most_open", "connections"), [(1_024, 960), (70, 6), (20, 4), (resource.RLIM_INFINITY, sys.maxsize)]
)
def test_some_files_are_kept_for_what_is_no_connection(most_open, connections):
    assert connections == files_for_connections(most_open)

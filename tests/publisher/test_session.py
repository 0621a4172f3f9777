"""AWSIoTPythonSDK does not behave as it reads; here is what it does, and the rule that keeps the publisher clear of it.

One section for each such behaviour. Its comment says it in words, and names the tests elsewhere that prove the rule
too. None of them passes without the rule.
"""

from __future__ import annotations

import contextlib
import logging
import random
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from AWSIoTPythonSDK.exception import AWSIoTExceptions
from AWSIoTPythonSDK.MQTTLib import AWSIoTMQTTClient
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from defender_daemon.backoff import Backoff
from defender_daemon.config import Proxy
from defender_publisher import session as session_module
from defender_publisher.errors import NotConnected, NoVerdict, TransportError
from defender_publisher.mqtt import MqttTransport
from defender_publisher.session import Link, Session, problem_of
from defender_publisher.tcp import open_socket
from demo.authority import Authority
from tests.fakes.scripted_broker import Script, ScriptedBroker, silent
from tests.ports import fill_queue
from tests.publisher.transports.test_websocket import HOST as AWS_HOST
from tests.publisher.transports.test_websocket import WebSocket
from tests.waiting import FOR_EVER, PATIENCE, outcome, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = " ".join(" ".join(path.read_text() for path in sorted((ROOT / "docs").rglob("*.md"))).split())
REPORT = b'{"header": {"report_id": 7, "version": "1.0"}, "custom_metrics": {"x": [{"number": 1}]}}'
TOPIC = "$aws/things/rpi-1/defender/metrics/json"
AT_AWS = Link("a1-ats.iot.eu-west-1.amazonaws.com", 8883, "rpi-1", TOPIC, "", "c.pem", "c.key")
CUT_SHORT = b"\x30\x01\x00"  # a PUBLISH that ends within its topic's length: struct.error, which is no OSError

Impatient = Callable[..., contextlib.AbstractContextManager[None]]

# What ends the SDK's network thread: SystemExit, which is how a session ends it, and what these tests do to it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture(autouse=True)
def prompt_dispatcher(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Let the SDK's dispatcher notice at once that it has to end, but in the test of how often it looks."""
    if "idle" not in request.node.name:
        monkeypatch.setattr(session_module, "DISPATCH_INTERVAL", 0.05, raising=False)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for what comes as long as it takes on a machine that is busy."""
    monkeypatch.setattr(session_module, "ANSWER_TIMEOUT", PATIENCE)
    monkeypatch.setattr(session_module, "HANDSHAKE_TIMEOUT", PATIENCE)


@pytest.fixture
def link(broker: ScriptedBroker, authority: Authority) -> Link:
    files = authority.issue("rpi-1")
    return Link(
        "localhost", broker.port, "rpi-1", TOPIC,
        str(authority.certificate), str(files.certificate), str(files.private_key),
    )  # fmt: skip


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Impatient:
    """Make contexts in which half a second is waited for what does not come: an answer, or the handshake's end."""

    @contextlib.contextmanager
    def impatient(missing: str = "ANSWER_TIMEOUT") -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(session_module, missing, 0.5)
            yield

    return impatient


@pytest.fixture
def new_session(link: Link, broker: ScriptedBroker) -> Iterator[Callable[..., Session]]:
    """Make sessions that are not open yet; keywords change the link. They are closed after the test."""
    made: list[Session] = []

    def new_session(**changes: Any) -> Session:
        made.append(
            Session(
                msgspec.structs.replace(link, **changes),
                lambda: open_socket("127.0.0.1", broker.port, timeout=session_module.HANDSHAKE_TIMEOUT),
            )
        )
        return made[-1]

    yield new_session
    for each in made:
        if each.alive:
            each.close()


@pytest.fixture
def opened(new_session: Callable[..., Session]) -> Callable[..., Session]:
    """Make sessions that are open; keywords change the link."""

    def opened(**changes: Any) -> Session:
        session = new_session(**changes)
        session.open()
        return session

    return opened


@pytest.fixture
def new_transport(link: Link, new_session: Callable[..., Session]) -> Iterator[Callable[..., MqttTransport]]:
    made: list[MqttTransport] = []

    def new_transport(verdict_timeout: float = PATIENCE) -> MqttTransport:
        made.append(MqttTransport(link, new_session, verdict_timeout=verdict_timeout))
        return made[-1]

    yield new_transport
    for each in made:
        each.close()


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[RecordedClient]:
    """The SDK's clients that sessions make, in order."""
    made: list[RecordedClient] = []

    class Client(RecordedClient):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            made.append(self)

    monkeypatch.setattr(session_module, "AWSIoTMQTTClient", Client)
    return made


class RecordedClient(AWSIoTMQTTClient):
    """The SDK's client, which remembers the threads that called it, and publishes as `publish_as` says."""

    publish_as: Callable[[], object] | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.callers: set[threading.Thread] = set()

    def connectAsync(self, *arguments: Any, **named: Any) -> Any:  # noqa: N802 - the SDK's name
        self.callers.add(threading.current_thread())
        return super().connectAsync(*arguments, **named)

    def disconnectAsync(self, *arguments: Any, **named: Any) -> Any:  # noqa: N802
        self.callers.add(threading.current_thread())
        return super().disconnectAsync(*arguments, **named)

    def subscribeAsync(self, *arguments: Any, **named: Any) -> Any:  # noqa: N802
        self.callers.add(threading.current_thread())
        return super().subscribeAsync(*arguments, **named)

    def publish(self, *arguments: Any, **named: Any) -> Any:
        self.callers.add(threading.current_thread())
        return self.publish_as() if self.publish_as else super().publish(*arguments, **named)


def reconnect(transport: MqttTransport) -> None:
    """Wait for the loss, let the transport notice it, and connect without the wait in between."""
    assert wait_until(lambda: not transport.connected)
    transport.keep_connected()
    transport.connect()


def sdk_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    """The threads begun since, without the broker's and the SDK's timer, which ends by itself after 20 s."""
    return [
        each
        for each in set(threading.enumerate()) - before
        if not isinstance(each, threading.Timer) and "_talk" not in each.name and "_serve" not in each.name
    ]


# The SDK connects by TCP and TLS without any time-out: a silent server would block the first connect for ever, and end
# reconnecting for good. So the socket is ours: bounded in time, TCP_NODELAY, SO_KEEPALIVE with its three numbers, and
# TCP_USER_TIMEOUT; and every later connection has such a one. (Also: a silent network ends a connect in time, in
# test_mqtt; a socket is quick and never hangs, in test_tcp; SIGTERM ends the daemon whatever the network does, in
# test_script. That a cut network is noticed and heals takes a network of one's own: the fault suite does that.)


def test_a_server_that_takes_tcp_and_never_answers_tls_holds_a_connect_up_for_seconds_only(
    broker: ScriptedBroker, new_session: Callable[..., Session], impatient: Impatient
) -> None:
    broker.script = Script(tls=False)
    with impatient("HANDSHAKE_TIMEOUT"):
        error = outcome(new_session().open)
    assert isinstance(error, TransportError), error
    assert "did not answer in time" in str(error)


def test_a_network_that_drops_every_packet_holds_a_connect_up_for_seconds_only() -> None:
    with contextlib.ExitStack() as stack:  # a listener whose queue is full drops every SYN
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for each in fill_queue(listener):
            stack.enter_context(each)
        error = outcome(lambda: open_socket(*listener.getsockname(), timeout=0.5))
    assert isinstance(error, (TimeoutError, socket.timeout))


def test_a_connections_socket_is_quick_and_notices_a_dead_peer(broker: ScriptedBroker, link: Link) -> None:
    lines: list[socket.socket] = []

    def make_socket() -> socket.socket:
        sock = open_socket("127.0.0.1", broker.port)
        assert 0 < (sock.gettimeout() or 0) <= 15
        lines.append(sock.dup())
        return sock

    session = Session(link, make_socket)
    session.open()
    (line,) = lines  # what the connection's own socket was given, which TLS has taken
    with line:
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if sys.platform == "linux":
            idle, between, count = (
                line.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert idle + between * count <= 120
            assert 1_000 <= line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 60_000
    session.close()


def test_a_server_that_is_silent_when_a_lost_connection_is_replaced_delays_only_that_attempt(
    broker: ScriptedBroker, new_transport: Callable[..., MqttTransport], impatient: Impatient
) -> None:
    transport = new_transport()
    transport.connect()
    broker.script = Script(tls=False)
    broker.drop()
    assert wait_until(lambda: not transport.connected)
    with impatient("HANDSHAKE_TIMEOUT"):
        assert isinstance(outcome(transport.connect), TransportError)
    broker.script = Script()
    assert None is outcome(transport.connect)
    assert transport.publish(7, REPORT).answered


# connect() returns True even when the broker refuses; only connectAsync tells the CONNACK's code. So a connection is
# one when the CONNACK said 0 and both reply topics are subscribed to.


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1, "it does not speak MQTT 3.1.1"),
        (2, "it refuses this client ID"),
        (3, "it is unavailable"),
        (4, "it wants a user name and password"),
        (5, "this device is not authorized"),
        (9, "CONNACK code 9"),
    ],
)
def test_a_connack_that_refuses_is_no_connection_and_its_code_is_explained(
    broker: ScriptedBroker, new_session: Callable[..., Session], code: int, expected: str
) -> None:
    broker.script = Script(connack=code)
    session = new_session()
    with pytest.raises(TransportError, match=f"the broker refused the connection: .*{expected}"):
        session.open()
    assert not session.alive


@pytest.mark.parametrize("topic", ["/accepted", "/rejected"])
@pytest.mark.parametrize(("code", "expected"), [(0x80, "refused the subscription"), (None, "did not answer")])
def test_a_connection_is_ready_only_when_both_reply_topics_are_subscribed_to(
    broker: ScriptedBroker, new_transport: Callable[..., MqttTransport], impatient: Impatient,
    topic: str, code: int | None, expected: str,
) -> None:  # fmt: skip
    broker.script = Script(suback_for=lambda wanted: code if wanted.endswith(topic) else 0)
    transport = new_transport()
    with pytest.raises(TransportError, match=expected), contextlib.nullcontext() if code else impatient():
        transport.connect()
    assert not transport.connected


# A first connect that failed is not retried, yet its threads live on and keep connecting, and every further connect()
# adds one. So a failed client is disconnected and never used again, and attempts are ours: with full jitter, and never
# two CONNECTs within a second. (Also: why there is no connection is said in a sentence, in test_mqtt, which connects
# with success after each kind of failure.)


def test_a_first_connect_that_failed_leaves_no_thread_that_lives_on_or_connects_again(
    broker: ScriptedBroker, new_session: Callable[..., Session], impatient: Impatient
) -> None:
    before = set(threading.enumerate())
    failures = [Script(connack=5), Script(connack=None), Script(close_after_connect=True), Script(suback=0x80)]
    for number, broker.script in enumerate(failures, 1):
        session = new_session()
        with pytest.raises(TransportError), impatient() if broker.script.connack is None else contextlib.nullcontext():
            session.open()
        assert wait_until(lambda number=number: len(broker.seen.connects) == number)
    broker.script = Script()
    time.sleep(1.6)  # the SDK's own first attempt comes after one second
    assert len(failures) == len(broker.seen.connects)
    assert wait_until(lambda: not sdk_threads(before)), sdk_threads(before)


class RefusedSession:
    """A session that cannot be opened."""

    alive = False

    def open(self, replies_required: bool = True) -> None:
        raise TransportError("refused")

    def close(self) -> None:
        pass


def test_each_attempt_is_made_by_a_new_client_a_second_or_more_after_the_last_and_with_jitter(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("defender_publisher.mqtt.gc.collect", lambda: 0)  # 120 times, of all that the tests imported
    made: list[RefusedSession] = []

    def new_session() -> RefusedSession:
        made.append(RefusedSession())
        return made[-1]

    link = msgspec.structs.replace(link, certificate="")  # whose dates are looked at in each attempt
    transports = [MqttTransport(link, new_session, backoff=Backoff(chance=random.Random(seed))) for seed in range(10)]
    waits = [[each.keep_connected() for _ in range(12)] for each in transports]
    assert 12 * 10 == len({id(each) for each in made})
    assert 1 <= min(min(each) for each in waits)
    firsts, lasts = ([each[index] for each in waits] for index in (0, -1))
    assert max(firsts) <= 2.5
    assert max(lasts) <= 300
    assert len({round(each, 3) for each in lasts}) > 7
    assert max(lasts) - min(lasts) > max(lasts) / 2  # full jitter: from next to nothing up to the longest wait


# Later the SDK reconnects by itself, after 1, 2, 4 ... 32 s without jitter, and swallows every error; one that is no
# OSError ends its network thread, and nothing tells. So its threads are watched, a connection without them is lost,
# and the SDK never reconnects. (Also: the SDK never reconnects by itself, in test_mqtt.)


def test_a_network_thread_that_a_packet_has_ended_is_a_lost_connection_which_is_said_and_replaced(
    broker: ScriptedBroker,
    new_transport: Callable[..., MqttTransport],
    impatient: Impatient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    transport = new_transport(verdict_timeout=0.3)
    transport.connect()
    broker.script = Script(raw_answer=CUT_SHORT)
    with impatient(), pytest.raises(NoVerdict):  # it asks whether the broker still answers, too
        transport.publish(7, REPORT)
    broker.script = Script()
    reconnect(transport)
    transport._verdict_timeout = PATIENCE
    assert transport.publish(7, REPORT).answered
    assert [record.levelname for record in caplog.records if " was lost " in record.getMessage()] == ["WARNING"]


def test_a_network_thread_that_a_packet_has_ended_is_noticed_at_once(
    broker: ScriptedBroker, opened: Callable[..., Session]
) -> None:
    broker.script = Script(raw_answer=CUT_SHORT)
    session = opened()
    session.publish(REPORT)
    assert wait_until(lambda: not session.alive)


def test_a_thread_that_others_begin_while_the_sdk_connects_may_end(broker: ScriptedBroker, link: Link) -> None:
    threads = [threading.Thread(target=time.sleep, args=(0.5,), daemon=True)]

    def make_socket() -> socket.socket:
        threads[0].start()
        return open_socket("127.0.0.1", broker.port, timeout=PATIENCE)

    session = Session(link, make_socket)
    session.open()
    threads[0].join()
    assert session.alive
    session.close()


# No leak: reconnecting leaves threads, descriptors and memory flat; but disconnect() while offline raises and leaks a
# thread. So closing never raises and ends the threads itself. (Also: many connections leave no threads and no
# descriptors behind, in test_mqtt.)


def test_closing_a_connection_that_is_lost_raises_nothing_and_leaves_no_thread(
    broker: ScriptedBroker, opened: Callable[..., Session]
) -> None:
    before = set(threading.enumerate())
    session = opened()
    broker.drop()
    session.close()  # offline, and not yet told so
    session.close()
    session = opened()
    broker.drop()
    assert wait_until(lambda: not session.alive)
    session.close()
    assert wait_until(lambda: not sdk_threads(before)), sdk_threads(before)


def test_closing_waits_for_no_goodbye_when_nothing_can_say_it(
    broker: ScriptedBroker, opened: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "CLOSE_TIMEOUT", FOR_EVER)
    broker.script = Script(raw_answer=CUT_SHORT)
    session = opened()
    session.publish(REPORT)
    assert wait_until(lambda: not session.alive)
    assert None is outcome(session.close)


# A callback that blocks stops the pings, a synchronous call in one dead-locks, and an exception in one ends the
# dispatcher for good while the status stays stable. So a callback only puts something into a queue, and never raises.


def test_messages_that_nobody_reads_stop_no_ping(
    broker: ScriptedBroker, opened: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "KEEP_ALIVE", 1)
    reply = (TOPIC + "/accepted", b'{"reportId": 1}')
    broker.script.answer = lambda topic, payload: [reply] * 500
    session = opened()
    session.publish(REPORT)
    time.sleep(0.5)
    before = broker.seen.pings
    assert wait_until(lambda: broker.seen.pings >= before + 2)
    assert session.alive


def test_an_exception_in_a_callback_leaves_the_next_message_its_way(
    broker: ScriptedBroker, opened: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened()
    with monkeypatch.context() as patch:
        patch.setattr(session_module, "Message", None)  # so that making one raises TypeError
        session.publish(REPORT)
        assert None is session.next_message(0.5)
    session.publish(REPORT)
    assert None is not session.next_message(PATIENCE)
    assert session.alive


def test_a_dispatcher_that_has_ended_is_a_lost_connection(
    opened: Callable[..., Session], monkeypatch: pytest.MonkeyPatch, clients: list[RecordedClient]
) -> None:
    session = opened()
    monkeypatch.setattr(clients[0]._mqtt_core._event_consumer, "_dispatch_one", None)
    session.publish(REPORT)
    assert wait_until(lambda: not session.alive)


def test_no_callback_calls_the_client(
    broker: ScriptedBroker, opened: Callable[..., Session], clients: list[RecordedClient]
) -> None:
    session = opened()
    session.publish(REPORT)
    assert None is not session.next_message(PATIENCE)
    broker.drop()
    assert wait_until(lambda: not session.alive)
    session.close()
    assert {threading.current_thread()} == clients[0].callers


# At QoS 1 a publish that timed out is sent again after each reconnect, and one that the policy denies for ever, because
# AWS closes the connection each time. So reports go at QoS 0, and Device Defender's answer is the acknowledgement.
# (Also: a report is accepted, and a connection closed on the report hints at the policy, in test_mqtt.)


def test_a_report_goes_out_once_at_qos_0_and_not_again_on_the_next_connection(
    broker: ScriptedBroker, new_transport: Callable[..., MqttTransport]
) -> None:
    broker.script.answer = silent
    transport = new_transport(verdict_timeout=0.3)
    transport.connect()
    with pytest.raises(NoVerdict):
        transport.publish(7, REPORT)
    broker.drop()
    reconnect(transport)
    time.sleep(0.3)
    assert [(TOPIC, REPORT, 0)] == broker.seen.publishes


# Offline, the SDK keeps publishes in a queue without bounds, drains it at two a second while new ones wait behind it,
# and publish() returns False. So the queue is off, only True is success, and no report is made while offline. (Also:
# nothing is sent without a connection, in test_mqtt; without a connection nothing is sent, in test_publisher.)


def test_a_report_that_meets_a_lost_connection_is_refused_and_queued_nowhere(
    broker: ScriptedBroker, opened: Callable[..., Session], clients: list[RecordedClient]
) -> None:
    session = opened()
    broker.drop()
    assert wait_until(lambda: not session.alive)
    with pytest.raises(NotConnected):
        session.publish(REPORT)
    assert not clients[0]._mqtt_core._offline_requests_manager.has_more()


@pytest.mark.parametrize("answer", [False, None, "QUEUED", 1])
def test_only_true_means_that_a_report_was_sent(
    opened: Callable[..., Session], clients: list[RecordedClient], answer: object
) -> None:
    session = opened()
    clients[0].publish_as = lambda: answer
    with pytest.raises(NotConnected):
        session.publish(REPORT)


def test_a_report_that_comes_while_offline_is_not_sent_when_the_connection_is_back(
    broker: ScriptedBroker, new_transport: Callable[..., MqttTransport]
) -> None:
    transport = new_transport()
    transport.connect()
    broker.drop()
    assert wait_until(lambda: not transport.connected)
    with pytest.raises(NotConnected):
        transport.publish(7, REPORT)
    reconnect(transport)
    time.sleep(0.6)
    assert [] == broker.seen.publishes


# The SDK's keep-alive is 600 s, for which a half-open connection looks well. So it is about a minute.


def test_the_keep_alive_is_short_enough_to_notice_a_half_open_connection_and_long_enough_for_aws(
    broker: ScriptedBroker, opened: Callable[..., Session]
) -> None:
    opened()
    (connect,) = broker.seen.connects
    assert 30 <= int(str(connect["keep_alive"])) <= 60


def test_a_broker_that_answers_no_ping_is_noticed(
    broker: ScriptedBroker, opened: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "KEEP_ALIVE", 1)
    session = opened()
    broker.script.frozen = True
    assert wait_until(lambda: not session.alive)
    with pytest.raises(NotConnected):
        session.next_message(1.0)


# A subscription that was refused is sent again after each reconnect. So such a client is thrown away. (Also: why there
# is no connection is said in a sentence, in test_mqtt.)


def test_after_a_refused_subscription_the_client_leaves_and_only_a_new_one_asks_again(
    broker: ScriptedBroker, new_transport: Callable[..., MqttTransport], clients: list[RecordedClient]
) -> None:
    broker.script = Script(suback=0x80)
    transport = new_transport()
    with pytest.raises(TransportError, match=re.escape(f"the broker refused the subscription to {TOPIC}/accepted")):
        transport.connect()
    assert wait_until(lambda: broker.seen.disconnects == 1)
    broker.script = Script()
    transport.connect()
    assert (2, 2) == (len(clients), len(broker.seen.connects))
    assert ["accepted", "accepted", "rejected"] == [each.rpartition("/")[2] for each in broker.seen.subscriptions]


# A client certificate that the broker refuses shows under TLS 1.3 as connectError(1) or as a connection that is closed
# (the handshake is over for us by then), under TLS 1.2 as a TLS alert; and the SDK prints to standard output. So all
# are one sentence that names the certificate, and nothing is printed. (Also: the SDK prints nothing, in test_mqtt.)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_refused_certificate_is_named_and_nothing_is_printed(
    broker: ScriptedBroker, new_session: Callable[..., Session], tmp_path: Path,
    capfd: pytest.CaptureFixture[str], version: ssl.TLSVersion,
) -> None:  # fmt: skip
    broker._context.minimum_version = broker._context.maximum_version = version
    stranger = Authority(tmp_path / "stranger").issue("rpi-1")
    for _ in range(3):  # under TLS 1.3 the alert comes before the CONNECT, or after it
        with pytest.raises(TransportError, match="that signed this device's certificate"):
            new_session(certificate=str(stranger.certificate), private_key=str(stranger.private_key)).open()
    assert "" == capfd.readouterr().out


@pytest.mark.parametrize("code", [1, 4])
def test_a_connect_error_of_the_sdk_means_the_certificate_too(code: int) -> None:
    error = AWSIoTExceptions.connectError(code)
    assert "check that the certificate is active" in problem_of(error, AT_AWS).advice
    assert "iot:" not in problem_of(error, msgspec.structs.replace(AT_AWS, host="broker.example.com")).advice


# An encrypted key makes OpenSSL ask for its pass phrase on the terminal. So the key is looked at before. (Also: an
# encrypted key is refused without asking for a pass phrase, in test_credentials.)


def test_a_daemon_with_an_encrypted_key_ends_with_a_sentence_instead_of_asking(
    run: Callable[..., subprocess.CompletedProcess[str]], write_config: Callable[..., Path], tmp_path: Path
) -> None:
    key = tmp_path / "encrypted.key"
    key.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    key.chmod(0o600)
    done = run(write_config(1), "-k", key, stdin=subprocess.DEVNULL, start_new_session=True)
    assert (78, "") == (done.returncode, done.stdout)
    assert "private_key must not be encrypted" in done.stderr
    assert "Enter " not in done.stderr


# The SDK's exceptions print as an empty string. So the kind and its message are told; 4 means not connected.


@pytest.mark.parametrize(
    "error",
    [
        AWSIoTExceptions.subscribeError(3),
        AWSIoTExceptions.subscribeQueueDisabledException(),
        AWSIoTExceptions.connectTimeoutException(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_of_the_sdk_is_told_by_its_kind_and_message(error: Exception) -> None:
    assert error.message not in str(error)
    assert f"{type(error).__name__} ({error.message})" == problem_of(error, AT_AWS).says


@pytest.mark.parametrize(
    "error",
    [
        AWSIoTExceptions.publishError(4),
        AWSIoTExceptions.subscribeError(4),
        AWSIoTExceptions.publishQueueDisabledException(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_that_means_not_connected_says_so(error: Exception) -> None:
    assert f"the connection was lost ({error.message})" == problem_of(error, AT_AWS).says


def test_a_publish_that_fails_with_4_is_a_lost_connection(
    opened: Callable[..., Session], clients: list[RecordedClient]
) -> None:
    def fail() -> None:
        raise AWSIoTExceptions.publishError(4)

    session = opened()
    clients[0].publish_as = fail
    with pytest.raises(NotConnected, match="the connection was lost .Publish Error: 4"):
        session.publish(REPORT)


# The SDK's event loop looks every 10 ms, which wakes an idle device 96 times a second. So its constant is raised; an
# event wakes it at once all the same. (Also: a report is accepted however rarely the SDK looks, in test_mqtt.)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_idle_connection_wakes_a_few_times_a_second_at_most(opened: Callable[..., Session]) -> None:
    def wake_ups() -> int:
        status = [Path(f"/proc/self/task/{each.native_id}/status").read_text() for each in threads]
        return sum(int(re.findall(r"(?m)^voluntary_ctxt_switches:\s+(\d+)", each)[0]) for each in status)

    before = set(threading.enumerate())
    opened()
    threads = sdk_threads(before)
    assert 2 == len(threads)
    time.sleep(0.3)
    earlier = wake_ups()
    time.sleep(1.0)
    assert wake_ups() - earlier < 30  # it was 95


# Port 443 is told apart by ALPN, and there the SDK trusts the system's authorities besides those in root_ca; from
# Python 3.13 it is strict about certificates there. so docs/ says the first, and test certificates are strict
# ones. (Also: a server and a thing trust each other, with OpenSSL's strict checks, in test_authority.)


def test_port_443_asks_for_mqtt_by_alpn_and_takes_a_strict_certificate(
    broker: ScriptedBroker, opened: Callable[..., Session]
) -> None:
    session = opened(port=443)
    session.publish(REPORT)
    assert None is not session.next_message(PATIENCE)
    assert ["x-amzn-mqtt-ca"] == broker.seen.protocols


def test_the_readme_says_that_only_port_443_trusts_the_systems_authorities_and_so_it_is(
    authority: Authority, link: Link, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "On port 443 the MQTT library trusts the system's authorities besides" in DOCS
    system = Authority(tmp_path / "system", name="one of the system's")
    files = system.issue("broker", ["localhost"])
    monkeypatch.setenv("SSL_CERT_FILE", str(system.certificate))
    broker = ScriptedBroker(files.certificate, files.private_key, authority.certificate)
    make_socket = lambda: open_socket("127.0.0.1", broker.port, timeout=PATIENCE)  # noqa: E731
    with contextlib.closing(broker):
        with pytest.raises(TransportError, match="certificate was not accepted"):
            Session(link, make_socket).open()
        session = Session(msgspec.structs.replace(link, port=443), make_socket)
        session.open()
        session.close()


# Over WebSocket the endpoint must look like AWS's own name, and before Python 3.12 no server name (SNI) is sent. So
# the first is checked with the configuration, and docs/ says the second. (Also: the invalid configurations in
# test_settings; all of test_websocket.)


def test_the_readme_says_from_which_python_on_a_websocket_sends_the_servers_name_and_so_it_is(
    authority: Authority, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "WebSocket sends no server name (SNI) before Python 3.12" in DOCS
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    files = authority.issue("websocket", [AWS_HOST])
    broker = ScriptedBroker(files.certificate, files.private_key, None, wrap=lambda each: WebSocket(each, []))
    with contextlib.closing(broker):
        session = Session(
            msgspec.structs.replace(link, host=AWS_HOST, port=443, certificate="", private_key="", websocket=True),
            lambda: open_socket("127.0.0.1", broker.port, timeout=PATIENCE),
        )
        session.open()
        session.close()
    assert [AWS_HOST if sys.version_info >= (3, 12) else None] == broker.seen.server_names


def test_a_websocket_to_another_name_than_awss_is_refused_with_the_configuration(
    run: Callable[..., subprocess.CompletedProcess[str]], write_config: Callable[..., Path]
) -> None:
    done = run("--check-config", write_config(443), "-e", "broker.example.com", "-w")
    assert 78 == done.returncode
    assert "endpoint must be AWS's own name" in done.stderr


# The SDK knows no proxy; an HTTP CONNECT in the socket factory works, and the server's name is verified all the same.
# (Also: all of test_tcp.)


class RelayingProxy:
    """Answers one CONNECT and passes bytes both ways."""

    def __init__(self, port: int) -> None:
        self._there = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Proxy(host="127.0.0.1", port=self._listener.getsockname()[1])
        self.request = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            near, _ = self._listener.accept()
            while not self.request.endswith(b"\r\n\r\n"):
                self.request += near.recv(4096)
            far = socket.create_connection(("127.0.0.1", self._there))
            near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            threading.Thread(target=_pass_on, args=(far, near), daemon=True).start()
            _pass_on(near, far)

    def close(self) -> None:
        self._listener.close()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError), one, other:
        while data := one.recv(4096):
            other.sendall(data)


@pytest.mark.parametrize(("host", "refused"), [("localhost", False), ("other.example.com", True)])
def test_through_a_proxy_the_servers_name_is_verified_all_the_same(
    broker: ScriptedBroker, link: Link, host: str, refused: bool
) -> None:
    with contextlib.closing(RelayingProxy(broker.port)) as proxy:
        session = Session(msgspec.structs.replace(link, host=host), lambda: open_socket(host, 8883, proxy.address))
        with contextlib.ExitStack() as stack:
            if refused:
                stack.enter_context(pytest.raises(TransportError, match="certificate was not accepted .*mismatch"))
            session.open()
        session.close()
    assert proxy.request.startswith(f"CONNECT {host}:8883 HTTP/1.".encode())
    assert refused is not bool(broker.seen.connects)


# The SDK puts its name and version into CONNECT as a user name. So that is switched off.


def test_connect_holds_no_user_name_of_the_sdk(broker: ScriptedBroker, opened: Callable[..., Session]) -> None:
    opened()
    (connect,) = broker.seen.connects
    assert 0 == int(str(connect["flags"])) & 0xC0  # MQTT 3.1.1, 3.1.2: user name and password


# All of the SDK's threads are daemon threads. So the end of the process need not wait for them. (Also: SIGTERM ends the
# daemon within five seconds whatever the network does, in test_script.)


def test_no_thread_of_a_connection_holds_up_the_end_of_the_process(opened: Callable[..., Session]) -> None:
    before = set(threading.enumerate())
    opened()
    begun = [each for each in set(threading.enumerate()) - before if "_talk" not in each.name]
    assert len(begun) >= 2
    assert [] == [each for each in begun if not each.daemon]


def test_closing_waits_seconds_only_for_a_broker_that_takes_nothing(
    broker: ScriptedBroker, opened: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert session_module.CLOSE_TIMEOUT <= 3
    monkeypatch.setattr(session_module, "CLOSE_TIMEOUT", 0.5)
    release = threading.Event()
    broker.script.answer = lambda topic, payload: release.wait(FOR_EVER) and []
    session = opened()
    session.publish(REPORT)
    with contextlib.suppress(NotConnected):
        for _ in range(8):
            session.publish(b"x" * 1_000_000)  # until the network takes no more
    assert None is outcome(session.close)
    release.set()


# Offline while connecting means at once that the broker hung up; silence until the time-out means a firewall or a black
# hole. Two daemons with one client ID evict each other. So the three are told apart. (Also: why there is no connection
# is said in a sentence, in test_mqtt.)


def test_a_broker_that_hangs_up_is_told_from_a_silent_one_at_once(
    broker: ScriptedBroker, new_session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "ANSWER_TIMEOUT", FOR_EVER)
    broker.script = Script(close_after_connect=True)
    error = outcome(new_session().open)
    assert isinstance(error, TransportError), error
    assert "closed the connection before it accepted this device" in str(error)


def test_two_publishers_with_one_client_id_are_told_that_there_are_two(
    broker: ScriptedBroker, new_transport: Callable[..., MqttTransport], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    broker.script.one_per_client_id = True
    one, other = new_transport(), new_transport()
    for _ in range(4):
        for each, evicted in ((one, other), (other, one)):
            reconnect(each)
            assert wait_until(lambda evicted=evicted: not evicted.connected)
    warnings = [each for each in caplog.messages if "does another client use the client ID rpi-1?" in each]
    assert 1 <= len(warnings) <= 2  # each says it once


# Up to 1.6.0 the SDK checked no host name and sent no server name (SNI) on port 8883. So an older one is refused.
# (Also: an SDK that checks no host name is refused, and a broker whose certificate is for another host is refused, in
# test_mqtt.)


def test_the_name_of_the_server_is_sent_and_verified_on_every_port(
    broker: ScriptedBroker, opened: Callable[..., Session], new_session: Callable[..., Session]
) -> None:
    for port in (8883, 443):
        opened(port=port)
        with pytest.raises(TransportError, match="certificate was not accepted .*Hostname mismatch"):
            new_session(port=port, host="other.example.com").open()
    assert ["localhost", "other.example.com"] * 2 == broker.seen.server_names


def test_the_requirement_of_the_sdk_leaves_out_what_was_not_tried() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert "AWSIoTPythonSDK>=1.6.1,<2" in lines

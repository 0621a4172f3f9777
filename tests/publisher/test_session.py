"""A session is open once the broker has said yes to all of it, and is over for good when the connection is lost.

One section for each thing that the SDK or the network does to that; test_sdk.py has what the SDK does inside.
"""

from __future__ import annotations

import contextlib
import logging
import random
import re
import socket
import sys
import threading
import time
from collections.abc import Callable

import msgspec
import pytest

from defender_daemon.backoff import Backoff
from defender_daemon.config import Proxy
from defender_publisher import sdk
from defender_publisher import session as session_module
from defender_publisher.errors import NotConnected, TransportError
from defender_publisher.mqtt import MqttTransport
from defender_publisher.session import Link, Session
from defender_publisher.tcp import open_socket
from tests.fakes.scripted_broker import Script, ScriptedBroker
from tests.ports import fill_queue
from tests.publisher.conftest import Impatient
from tests.publisher.sessions import RecordedClient, reconnect, sdk_threads
from tests.waiting import FOR_EVER, PATIENCE, outcome, wait_until

REPORT = b'{"header": {"report_id": 7, "version": "1.0"}, "custom_metrics": {"x": [{"number": 1}]}}'
TOPIC = "$aws/things/rpi-1/defender/metrics/json"
CUT_SHORT = b"\x30\x01\x00"  # a PUBLISH that ends within its topic's length: struct.error, which is no OSError

# What ends the SDK's network thread: SystemExit, which is how a session ends it, and what these tests do to it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture(autouse=True)
def prompt_dispatcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDK's dispatcher notice at once that it has to end."""
    monkeypatch.setattr(sdk, "DISPATCH_INTERVAL", 0.05)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for what comes as long as it takes on a machine that is busy."""
    monkeypatch.setattr(session_module, "ANSWER_TIMEOUT", PATIENCE)
    monkeypatch.setattr(session_module, "HANDSHAKE_TIMEOUT", PATIENCE)


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

"""AWSIoTPythonSDK does not behave as it reads; here is what it does, and the rule that keeps the publisher clear of it.

One section for each such behaviour. Its comment says it in words, and names the tests elsewhere that prove the rule
too. None of them passes without the rule.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from AWSIoTPythonSDK.core.protocol.internal.workers import EventConsumer
from AWSIoTPythonSDK.exception import AWSIoTExceptions
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from defender_publisher import sdk
from defender_publisher import session as session_module
from defender_publisher.errors import ConfigError, NotConnected, NoVerdict, TransportError
from defender_publisher.mqtt import MqttTransport
from defender_publisher.sdk import check_sdk, problem_of
from defender_publisher.session import Link, Session
from defender_publisher.settings import read_settings
from defender_publisher.tcp import open_socket
from defender_publisher.transports import open_transport
from demo.authority import Authority
from tests.fakes.scripted_broker import Script, ScriptedBroker, silent
from tests.publisher.conftest import Impatient
from tests.publisher.sessions import RecordedClient, reconnect, sdk_threads
from tests.publisher.transports.test_websocket import HOST as AWS_HOST
from tests.publisher.transports.test_websocket import WebSocket
from tests.waiting import FOR_EVER, PATIENCE, outcome, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = " ".join(" ".join(path.read_text() for path in sorted((ROOT / "docs").rglob("*.md"))).split())
REPORT = b'{"header": {"report_id": 7, "version": "1.0"}, "custom_metrics": {"x": [{"number": 1}]}}'
TOPIC = "$aws/things/rpi-1/defender/metrics/json"
AT_AWS = Link("a1-ats.iot.eu-west-1.amazonaws.com", 8883, "rpi-1", TOPIC, "", "c.pem", "c.key")
CUT_SHORT = b"\x30\x01\x00"  # a PUBLISH that ends within its topic's length: struct.error, which is no OSError

# What ends the SDK's network thread: SystemExit, which is how a session ends it, and what these tests do to it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture(autouse=True)
def prompt_dispatcher(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Let the SDK's dispatcher notice at once that it has to end, but in the test of how often it looks."""
    if "idle" not in request.node.name:
        monkeypatch.setattr(sdk, "DISPATCH_INTERVAL", 0.05)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for what comes as long as it takes on a machine that is busy."""
    monkeypatch.setattr(session_module, "ANSWER_TIMEOUT", PATIENCE)
    monkeypatch.setattr(session_module, "HANDSHAKE_TIMEOUT", PATIENCE)


# Later the SDK reconnects by itself, after 1, 2, 4 ... 32 s without jitter, and swallows every error; one that is no
# OSError ends its network thread, and nothing tells. So its threads are watched, a connection without them is lost,
# and the SDK never reconnects.


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
    transport.verdict_timeout = PATIENCE
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


def test_the_sdk_never_reconnects_by_itself(broker: ScriptedBroker, opened: Callable[..., Session]) -> None:
    opened()
    broker.drop()
    time.sleep(1.5)  # its first attempt comes after one second
    assert 1 == len(broker.seen.connects)


# A callback that blocks stops the pings, a synchronous call in one dead-locks, and an exception in one ends the
# dispatcher for good while the status stays stable. So a callback only puts something into a queue, and never raises.


def test_messages_that_nobody_reads_stop_no_ping(
    broker: ScriptedBroker, opened: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk, "KEEP_ALIVE", 1)
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
        patch.setattr(sdk, "Message", None)  # so that making one raises TypeError
        session.publish(REPORT)
        assert None is session.next_message(0.5)
    session.publish(REPORT)
    assert None is not session.next_message(PATIENCE)
    assert session.alive


def test_a_dispatcher_that_has_ended_is_a_lost_connection(
    opened: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened()
    monkeypatch.setattr(EventConsumer, "_dispatch_one", None)  # so that calling it raises TypeError
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
# (Also: a connection closed on the report hints at the policy, in test_mqtt.)


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
    broker: ScriptedBroker, opened: Callable[..., Session]
) -> None:
    session = opened()
    broker.drop()
    assert wait_until(lambda: not session.alive)
    with pytest.raises(NotConnected, match=r"the connection was lost \(.*dropped because queueing is disabled\)"):
        session.publish(REPORT)


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
    monkeypatch.setattr(sdk, "KEEP_ALIVE", 1)
    session = opened()
    broker.script.frozen = True
    assert wait_until(lambda: not session.alive)
    with pytest.raises(NotConnected):
        session.next_message(1.0)


# A client certificate that the broker refuses shows under TLS 1.3 as connectError(1) or as a connection that is closed
# (the handshake is over for us by then), under TLS 1.2 as a TLS alert; and the SDK prints to standard output. So all
# are one sentence that names the certificate, and nothing is printed.


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


def test_the_sdk_prints_nothing(
    broker: ScriptedBroker, opened: Callable[..., Session], capfd: pytest.CaptureFixture[str]
) -> None:
    session = opened()
    broker.drop()
    assert wait_until(lambda: not session.alive)
    assert ("", "") == capfd.readouterr()


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
# event wakes it at once all the same. The network thread looks once a second; it sleeps until a PINGREQ is due.


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


def test_a_report_is_accepted_however_rarely_the_sdk_looks(
    broker: ScriptedBroker, new_transport: Callable[..., MqttTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk, "DISPATCH_INTERVAL", FOR_EVER)
    mqtt = new_transport()
    mqtt.connect()
    delivery = mqtt.publish(7, REPORT)
    assert delivery.answered
    assert [(TOPIC, REPORT, 0)] == broker.seen.publishes
    assert [TOPIC + "/accepted", TOPIC + "/rejected"] == broker.seen.subscriptions


def test_an_idle_connection_wakes_rarely() -> None:
    """The SDK names the constant so, and has it (guards the pinned version)."""
    assert 30.0 == sdk.DISPATCH_INTERVAL
    assert hasattr(EventConsumer, "MAX_DISPATCH_INTERNAL_SEC")


def test_the_network_thread_sleeps_until_a_pingreq_is_due_and_not_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, slept = SimpleNamespace(now=1_000.0), []
    monkeypatch.setattr(time, "time", lambda: clock.now)
    client = SimpleNamespace(
        _last_msg_out=1_000.0, _last_msg_in=1_000.0, loop=lambda timeout, _packets: slept.append(timeout)
    )
    sdk.sleep_until_needed(client)
    for clock.now in (1_000.0, 1_010.0, 1_059.5, 2_000.0, 10.0):  # at last the clock was set back
        client.loop(1.0)
    assert [60.0, 50.0, 1.0, 1.0, 60.0] == slept
    client._last_msg_in, clock.now = 980.0, 1_000.0
    client.loop(1.0)
    assert 40.0 == slept[-1]


# After a connect that failed, the SDK waits until its dispatcher has ended, which looks for that once in its interval.
# So it is woken.


def test_a_connect_that_fails_wakes_the_sdks_dispatcher_however_rarely_it_looks(
    new_session: Callable[..., Session], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk, "DISPATCH_INTERVAL", FOR_EVER)
    monkeypatch.setattr(session_module, "ANSWER_TIMEOUT", FOR_EVER)  # for which the SDK would wait
    before = set(threading.enumerate())
    session = new_session(root_ca=str(Authority(tmp_path / "other", name="another CA").certificate))
    assert isinstance(outcome(session.open), TransportError)
    dispatchers = [each for each in set(threading.enumerate()) - before if "_dispatch" in each.name]
    assert wait_until(lambda: not any(each.is_alive() for each in dispatchers))


# A packet's length is believed: the SDK would fetch 256 MB, and where the connection ends within a packet it asks for
# the rest again and again, as fast as it can, and calls the connection well. So either ends the connection.


@pytest.mark.parametrize("size", [300_000, 200_000_000])
def test_a_packet_that_no_verdict_is_in_ends_the_connection_before_it_fills_the_memory(
    broker: ScriptedBroker, opened: Callable[..., Session], size: int
) -> None:
    length = bytes([size >> shift & 0x7F | 0x80 for shift in (0, 7, 14)] + [size >> 21])
    broker.script.raw_answer = b"\x30" + length + bytes(1000)
    session = opened()
    session.publish(REPORT)
    with pytest.raises(NotConnected):
        session.next_message(PATIENCE)
    assert not session.alive


def test_a_connection_that_ends_in_the_middle_of_a_packet_is_lost(
    broker: ScriptedBroker, opened: Callable[..., Session]
) -> None:
    broker.script.raw_answer = b"\x30\x64half a packet"
    session = opened()
    session.publish(REPORT)

    def drop() -> None:
        wait_until(lambda: broker.seen.publishes)
        time.sleep(0.2)  # for the half packet to arrive; without it the connection is lost all the same
        broker.drop()

    threading.Thread(target=drop, daemon=True).start()
    with pytest.raises(NotConnected):
        session.next_message(PATIENCE)
    assert not session.alive


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


# Up to 1.6.0 the SDK checked no host name and sent no server name (SNI) on port 8883. So an older one is refused.
# (Also: a broker whose certificate is for another host is refused, in test_mqtt.)


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


@pytest.mark.parametrize("version", ["1.6.0", "1.5.4", "1.4"])
def test_an_sdk_that_checks_no_host_name_is_refused(version: str) -> None:
    with pytest.raises(ConfigError, match=f"must be at least 1.6.1.*{version}"):
        check_sdk(version)
    check_sdk("1.6.1")
    check_sdk("1.10.0")


def test_a_publisher_with_an_sdk_that_checks_no_host_name_does_not_start(
    write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read_settings(write_config(8883), {})
    open_transport(settings)
    monkeypatch.setattr("AWSIoTPythonSDK.__version__", "1.6.0")
    with pytest.raises(ConfigError, match="must be at least 1.6.1"):
        open_transport(settings)

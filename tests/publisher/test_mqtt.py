"""Reports over mutual TLS by AWSIoTPythonSDK, against a broker that behaves as the test says."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from defender_publisher import sdk
from defender_publisher import session as session_module
from defender_publisher.errors import NotConnected, NotLetIn, NoVerdict, Rejected, TransportError
from defender_publisher.mqtt import MqttTransport
from defender_publisher.session import Link, Session
from defender_publisher.tcp import open_socket
from demo.authority import Authority, Files
from tests.fakes.scripted_broker import Script, ScriptedBroker, accept, reject, silent
from tests.waiting import FOR_EVER, PATIENCE, outcome, wait_until

REPORT = b'{"header": {"report_id": 7, "version": "1.0"}, "custom_metrics": {"x": [{"number": 1}]}}'
TOPIC = "$aws/things/rpi-1/defender/metrics/json"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for what comes as long as it takes on a machine that is busy."""
    monkeypatch.setattr(session_module, "ANSWER_TIMEOUT", PATIENCE)
    monkeypatch.setattr(session_module, "HANDSHAKE_TIMEOUT", PATIENCE)
    monkeypatch.setattr("defender_publisher.mqtt.SOON_AFTER_PUBLISH", PATIENCE)


@pytest.fixture
def thing(authority: Authority) -> Files:
    return authority.issue("rpi-1")


@pytest.fixture
def transport(broker: ScriptedBroker, authority: Authority, thing: Files) -> Iterator[Callable[..., MqttTransport]]:
    made: list[MqttTransport] = []

    def make(
        host: str = "localhost", answered: bool = True, files: Files = thing, root: object = None,
        verdict_timeout: float = PATIENCE,
    ) -> MqttTransport:  # fmt: skip
        link = Link(
            host=host,
            port=broker.port,
            client_id="rpi-1",
            topic=TOPIC,
            root_ca=str(root or authority.certificate),
            certificate=str(files.certificate),
            private_key=str(files.private_key),
        )

        def make_socket() -> socket.socket:
            return open_socket("127.0.0.1", broker.port, timeout=session_module.ANSWER_TIMEOUT)

        made.append(
            MqttTransport(link, lambda: Session(link, make_socket), answered=answered, verdict_timeout=verdict_timeout)
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_the_connection_names_the_thing_keeps_alive_and_sends_no_user_name(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport]
) -> None:
    transport().connect()
    (connect,) = broker.seen.connects
    assert ("rpi-1", 60) == (connect["client_id"], connect["keep_alive"])
    assert 0 == int(connect["flags"]) & 0xC0


def test_closing_says_goodbye_and_ends_every_thread(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport]
) -> None:
    before = threading.active_count()
    mqtt = transport()
    mqtt.connect()
    assert None is outcome(mqtt.close)
    assert wait_until(lambda: broker.seen.disconnects == 1)
    assert wait_until(
        lambda: not [each for each in threading.enumerate() if "Timer" not in type(each).__name__][before:]
    )


@pytest.mark.parametrize(
    ("answer", "code"), [(reject("InvalidPayload"), "InvalidPayload"), (reject("Throttled"), "Throttled")]
)
def test_a_rejection_raises_with_awss_words(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport], answer: Callable[..., object], code: str
) -> None:
    broker.script.answer = answer
    mqtt = transport()
    mqtt.connect()
    with pytest.raises(Rejected) as caught:
        mqtt.publish(7, REPORT)
    assert (7, code, "Malformed metrics report") == (caught.value.report_id, caught.value.code, caught.value.message)
    assert mqtt.connected


@pytest.mark.parametrize(
    "answer",
    [
        silent,
        lambda topic, payload: [(topic + "/accepted", b'{"reportId": 6}')],  # for another report
        lambda topic, payload: [(topic + "/accepted", b"\xff garbage")],
    ],
)
def test_silence_wrong_ids_and_garbage_are_no_verdict(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport], answer: Callable[..., object]
) -> None:
    broker.script.answer = answer
    mqtt = transport(verdict_timeout=0.1)
    mqtt.connect()
    with pytest.raises(NoVerdict, match="check that something answers reports at this broker"):
        mqtt.publish(7, REPORT)
    assert mqtt.connected


@pytest.fixture
def answers_late(monkeypatch: pytest.MonkeyPatch) -> Callable[[threading.Event], None]:
    """Let an answer come when its time is over: while the broker is asked whether it is there."""
    answers = Session.answers

    def answers_late(answer: threading.Event) -> None:
        monkeypatch.setattr(Session, "answers", lambda self: (answer.set(), answers(self))[1])

    return answers_late


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport], answers_late: Callable[..., None]
) -> None:
    rejection, late = reject("InvalidPayload"), threading.Event()
    broker.script.answer = lambda topic, payload: (late.wait(PATIENCE), rejection(topic, payload))[1]
    answers_late(late)
    mqtt = transport(verdict_timeout=0.1)
    mqtt.connect()
    with pytest.raises(NoVerdict):
        mqtt.publish(7, REPORT)
    broker.script.answer, mqtt.verdict_timeout = Script().answer, PATIENCE
    assert mqtt.publish(7, REPORT).answered


def test_on_a_topic_of_ones_own_silence_is_no_failure(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport]
) -> None:
    broker.script.answer, broker.script.suback = silent, 0x80
    mqtt = transport(answered=False, verdict_timeout=0.1)
    mqtt.connect()
    assert not mqtt.publish(7, REPORT).answered


def test_a_connection_closed_on_the_report_hints_at_the_policy(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport]
) -> None:
    broker.script.close_on_publish = True
    mqtt = transport()
    mqtt.connect()
    with pytest.raises(
        NoVerdict, match="right after the report; let the broker's access rules allow this device to write"
    ):
        mqtt.publish(7, REPORT)
    time.sleep(1.2)  # what the SDK would need to send it again
    assert 1 == len(broker.seen.publishes)
    assert not mqtt.connected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (Script(tls=False), "the broker did not answer in time"),
        (Script(connack=None), "the broker did not answer in time"),
        (Script(connack=2), "it refuses this client ID"),
        (Script(connack=5), "this device is not authorized; look into the broker's log"),
        (Script(close_after_connect=True), "closed the connection before it accepted this device"),
        (Script(suback=0x80), "the broker refused the subscription to"),
    ],
)
def test_why_there_is_no_connection_is_said_in_a_sentence(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport], script: Script, expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    broker.script = script
    mqtt = transport()
    with monkeypatch.context() as patch:
        if expected.endswith("in time"):
            patch.setattr(session_module, "ANSWER_TIMEOUT", 0.5)
        with pytest.raises(TransportError) as caught:
            mqtt.connect()
    assert expected in str(caught.value)
    assert not mqtt.connected
    broker.script = Script()
    mqtt.connect()
    assert mqtt.publish(7, REPORT).answered


def test_a_broker_whose_certificate_is_for_another_host_is_refused(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport]
) -> None:
    with pytest.raises(TransportError, match="certificate was not accepted .*Hostname mismatch"):
        transport(host="other.example.com").connect()


def test_a_broker_of_another_authority_is_refused(
    transport: Callable[..., MqttTransport], tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Authority(tmp_path_factory.mktemp("other"), name="another CA")
    with pytest.raises(TransportError, match="certificate was not accepted"):
        transport(root=other.certificate).connect()


def test_a_thing_of_another_authority_is_not_let_in(
    transport: Callable[..., MqttTransport], tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = Authority(tmp_path_factory.mktemp("stranger")).issue("rpi-1")
    with pytest.raises(TransportError, match="before it accepted this device|certificate is refused|did not answer"):
        transport(files=stranger).connect()


def test_an_expired_certificate_is_named_before_anything_is_sent(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport], authority: Authority
) -> None:
    with pytest.raises(TransportError, match="expired on"):
        transport(files=authority.issue_expired("old")).connect()
    assert [] == broker.seen.connects


def test_nothing_is_sent_without_a_connection(broker: ScriptedBroker, transport: Callable[..., MqttTransport]) -> None:
    with pytest.raises(NotConnected):
        transport().publish(7, REPORT)


def test_a_lost_connection_is_replaced_and_nothing_is_sent_twice(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport]
) -> None:
    mqtt = transport()
    mqtt.connect()
    mqtt.publish(7, REPORT)
    broker.drop()
    assert wait_until(lambda: not mqtt.connected)
    assert 1 <= mqtt.keep_connected() <= 2  # the loss is noted, and the next connection jittered
    mqtt.keep_connected()
    assert mqtt.connected
    assert mqtt.publish(7, REPORT).answered
    assert (2, 2) == (len(broker.seen.connects), len(broker.seen.publishes))


def test_many_connections_leave_no_threads_and_no_descriptors_behind(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport]
) -> None:
    def ours() -> int:
        return sum("Timer" not in type(each).__name__ and "_talk" not in each.name for each in threading.enumerate())

    process, before = psutil.Process(), ours()
    mqtt = transport()
    mqtt.connect()
    descriptors = process.num_fds()
    for script in [Script(), Script(connack=5), Script(close_after_connect=True), Script(suback=0x80)] * 5:
        broker.script = script
        broker.drop()
        wait_until(lambda: not mqtt.connected)
        mqtt.keep_connected()
    mqtt.close()
    broker.drop()
    assert wait_until(lambda: ours() <= before)
    gc.collect()  # as the next connect would
    assert wait_until(lambda: process.num_fds() <= descriptors)


def test_a_connection_after_failed_attempts_says_how_many_there_were(
    transport: Callable[..., MqttTransport], broker: ScriptedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    mqtt = transport()
    broker.script.connack = 3
    mqtt.keep_connected()
    mqtt.keep_connected()
    broker.script.connack = 0
    mqtt.keep_connected()
    assert caplog.messages[-1].endswith("as rpi-1 after 2 failed attempts")


def test_silence_of_a_broker_that_answers_otherwise_is_healthy(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport]
) -> None:
    mqtt = transport(verdict_timeout=0.1)
    mqtt.connect()
    broker.script.answer = silent
    with pytest.raises(NoVerdict, match="neither accepted nor rejected") as error:
        mqtt.publish(7, REPORT)
    assert error.value.healthy
    assert mqtt.connected


@pytest.mark.parametrize("answered", [True, False])
def test_silence_of_a_broker_that_does_not_answer_at_all_ends_the_session(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport], answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mqtt = transport(answered=answered, verdict_timeout=0.1)
    mqtt.connect()
    monkeypatch.setattr(session_module, "ANSWER_TIMEOUT", 0.3)
    broker.script.frozen = True
    with pytest.raises(NoVerdict, match="the broker no longer answers") as error:
        mqtt.publish(7, REPORT)
    assert not error.value.healthy
    assert not mqtt.connected


def test_a_verdict_that_comes_late_is_heard_before_the_next_report(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport], answers_late: Callable[..., None]
) -> None:
    late = threading.Event()
    broker.script.answer = lambda topic, payload: (late.wait(PATIENCE), accept(topic, payload))[1]
    answers_late(late)
    mqtt = transport(verdict_timeout=0.1)
    mqtt.connect()
    with pytest.raises(NoVerdict):
        mqtt.publish(7, REPORT)
    assert wait_until(lambda: mqtt.late_verdicts() == {7: True})
    assert {} == mqtt.late_verdicts()


def test_a_reset_from_another_thread_ends_a_connect_that_hangs(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "ANSWER_TIMEOUT", FOR_EVER)
    broker.script.connack = None
    mqtt = transport()
    connecting = threading.Thread(target=lambda: errors.append(outcome(mqtt.connect)))
    errors: list[object] = []
    connecting.start()
    assert wait_until(lambda: broker.seen.connects)
    mqtt.reset()
    connecting.join()
    assert [NotLetIn] == list(map(type, errors))


def test_a_reset_before_there_is_a_session_ends_that_attempt(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the garbage is collected, for instance, which takes seconds on a small device."""
    monkeypatch.setattr(session_module, "ANSWER_TIMEOUT", 60.0)
    broker.script.connack = None
    mqtt = transport()
    monkeypatch.setattr("defender_publisher.mqtt.gc.collect", mqtt.reset)
    with pytest.raises(TransportError, match="torn down while it was being made"):
        mqtt.connect()
    assert [] == broker.seen.connects


def test_a_reset_while_the_network_is_connected_to_ends_that_attempt(
    broker: ScriptedBroker, authority: Authority, thing: Files
) -> None:
    broker.script.tls = False  # it would hold the handshake up
    link = Link("localhost", broker.port, "x", TOPIC, str(authority.certificate),
                str(thing.certificate), str(thing.private_key))  # fmt: skip

    def connect() -> socket.socket:
        sock = open_socket("127.0.0.1", broker.port, timeout=60.0)
        session.close()
        return sock

    session = Session(link, connect)
    with pytest.raises(TransportError):
        session.open()


def test_a_handshake_that_is_drawn_out_byte_by_byte_ends_in_time(
    authority: Authority, thing: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "HANDSHAKE_TIMEOUT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = Link("localhost", listener.getsockname()[1], "x", TOPIC, str(authority.certificate),
                    str(thing.certificate), str(thing.private_key))  # fmt: skip

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KB
                while True:
                    connection.sendall(b"\x02")
                    time.sleep(0.05)

        threading.Thread(target=drip, daemon=True).start()
        with pytest.raises(TransportError, match="did not answer in time"):
            Session(link, lambda: open_socket("127.0.0.1", link.port, timeout=60.0)).open()


def test_a_flood_of_messages_that_nobody_asked_for_hides_no_verdict(
    broker: ScriptedBroker, transport: Callable[..., MqttTransport]
) -> None:
    flood = [(f"{TOPIC}/accepted", json.dumps({"reportId": number}).encode()) for number in range(100, 1100)]
    broker.script.answer = lambda topic, payload: flood + accept(topic, payload)
    mqtt = transport()
    mqtt.connect()
    assert mqtt.publish(7, REPORT).answered


def test_an_attempt_that_fails_is_logged_with_the_time_of_the_next(
    transport: Callable[..., MqttTransport], broker: ScriptedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker.script.connack = 5
    wait = transport().keep_connected()
    (record,) = caplog.records
    assert f"next attempt in {wait:.0f} s" in record.getMessage()


def test_a_lost_connection_is_heard_at_once(broker: ScriptedBroker, transport: Callable[..., MqttTransport]) -> None:
    mqtt, lost = transport(), threading.Event()
    mqtt.on_loss = lost.set
    mqtt.connect()
    assert mqtt.keep_connected() > 10.0
    broker.close()
    assert lost.wait(PATIENCE)
    assert not mqtt.connected


def test_a_silent_network_ends_a_connect_in_time(
    authority: Authority, thing: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        link = Link("localhost", listener.getsockname()[1], "x", TOPIC, str(authority.certificate),
                    str(thing.certificate), str(thing.private_key))  # fmt: skip
        monkeypatch.setattr(session_module, "HANDSHAKE_TIMEOUT", FOR_EVER)
        error = outcome(Session(link, lambda: open_socket("127.0.0.1", link.port, timeout=0.5)).open)
    assert isinstance(error, TransportError), error
    assert "did not answer in time" in str(error)


def test_a_session_that_cannot_even_be_made_is_a_failed_attempt_like_any_other(
    transport: Callable[..., MqttTransport], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    one = transport()
    with monkeypatch.context() as patch:
        patch.setattr(sdk, "AWSIoTMQTTClient", fail)
        assert one.keep_connected() < 5
    assert "not connected to localhost: no file can be opened (Too many open files); raise LimitNOFILE=" in caplog.text
    one.keep_connected()
    assert one.connected

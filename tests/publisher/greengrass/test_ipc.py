"""The client speaks with the nucleus as AWS's own does, which passes the same table where it is installed."""

from __future__ import annotations

import json
import queue
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from defender_publisher.greengrass import eventstream, ipc
from tests.fakes.nucleus import JAVA_LIMIT, LITE_LIMIT, TOKEN, Nucleus
from tests.waiting import wait_until

TOPIC = "$aws/things/core-1/defender/metrics/json"
REPORT = json.dumps({"header": {"report_id": 7, "version": "1.0"}, "metrics": {}}).encode()
PATIENCE = 60.0  # seconds


class Ours:
    """Our client, by the table's words."""

    def __init__(self, nucleus: Nucleus, token: str = TOKEN) -> None:
        self.client = ipc.Client(nucleus.path, token, timeout=PATIENCE)

    def configuration(self, *path: str) -> Any:
        return ipc.get_configuration(self.client, *path)

    def subscribe(self, topic: str, on_message: Callable[[str, bytes], None]) -> None:
        ipc.subscribe_to_iot_core(self.client, topic, on_message)

    def publish(self, topic: str, payload: bytes) -> None:
        ipc.publish_to_iot_core(self.client, topic, payload)

    def close(self) -> None:
        self.client.close()


class Amazons:
    """AWS's own client, by the table's words."""

    def __init__(self, nucleus: Nucleus, token: str = TOKEN) -> None:
        greengrass = pytest.importorskip("awsiot.greengrasscoreipc")
        v2 = pytest.importorskip("awsiot.greengrasscoreipc.clientv2")
        self.client = v2.GreengrassCoreIPCClientV2(greengrass.connect(ipc_socket=nucleus.path, authtoken=token))

    def configuration(self, *path: str) -> Any:
        return self.client.get_configuration(key_path=list(path)).value

    def subscribe(self, topic: str, on_message: Callable[[str, bytes], None]) -> None:
        def on_event(event: Any) -> None:
            on_message(event.message.topic_name, event.message.payload)

        self.client.subscribe_to_iot_core(topic_name=topic, qos="1", on_stream_event=on_event)

    def publish(self, topic: str, payload: bytes) -> None:
        self.client.publish_to_iot_core(topic_name=topic, qos="0", payload=payload)

    def close(self) -> None:
        self.client.close()


@pytest.fixture
def nucleus(tmp_path: Path) -> Iterator[Nucleus]:
    nucleus = Nucleus(tmp_path / "ipc.socket")
    yield nucleus
    nucleus.stop()


@pytest.fixture(params=[Ours, Amazons], ids=["ours", "amazons"])
def new_client(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """What makes a client; the table is for both."""
    made: list[Any] = []

    def new(nucleus: Nucleus, **options: Any) -> Any:
        made.append(request.param(nucleus, **options))
        return made[-1]

    yield new
    for each in made:
        each.close()


# The table that both clients pass


def test_a_report_goes_out_and_its_verdict_comes_back(nucleus: Nucleus, new_client: Callable[..., Any]) -> None:
    client, heard = new_client(nucleus), queue.SimpleQueue[tuple[str, bytes]]()
    client.subscribe(f"{TOPIC}/accepted", lambda topic, payload: heard.put((topic, payload)))
    client.publish(TOPIC, REPORT)
    topic, payload = heard.get(timeout=PATIENCE)
    assert (f"{TOPIC}/accepted", 7) == (topic, json.loads(payload)["reportId"])
    assert [(TOPIC, REPORT)] == nucleus.published


def test_the_configuration_is_read_whole_and_in_part(nucleus: Nucleus, new_client: Callable[..., Any]) -> None:
    nucleus.configuration = {"SampleIntervalSeconds": "300", "agent": {"format": "cbor"}}
    client = new_client(nucleus)
    assert nucleus.configuration == client.configuration()
    assert {"format": "cbor"} == client.configuration("agent")


def test_an_event_that_comes_before_the_answer_is_not_the_answer(nucleus: Nucleus) -> None:
    client, heard = Ours(nucleus), queue.SimpleQueue[tuple[str, bytes]]()
    nucleus.event_first = True
    client.subscribe(f"{TOPIC}/accepted", lambda topic, payload: heard.put((topic, payload)))
    assert (f"{TOPIC}/accepted", b"early") == heard.get(timeout=PATIENCE)
    client.publish(TOPIC, REPORT)
    assert 7 == json.loads(heard.get(timeout=PATIENCE)[1])["reportId"]
    client.close()


@pytest.mark.parametrize(
    ("operations", "online", "name"),
    [({"SubscribeToIoTCore"}, True, "Unauthorized"), ({"PublishToIoTCore"}, False, "Service")],
)
def test_a_refusal_has_the_errors_name(
    nucleus: Nucleus, new_client: Callable[..., Any], operations: set[str], online: bool, name: str
) -> None:
    nucleus.operations, nucleus.online = operations, online
    client = new_client(nucleus)
    with pytest.raises(Exception, match="(?s).*") as refusal:
        client.publish(TOPIC, REPORT)
    assert f"{name}Error" in (getattr(refusal.value, "code", "") or type(refusal.value).__name__)


@pytest.mark.parametrize("says_no", [True, False], ids=["refused", "hung up on"])
def test_a_token_that_the_nucleus_does_not_know_is_refused(
    nucleus: Nucleus, new_client: Callable[..., Any], says_no: bool
) -> None:
    nucleus.says_no = says_no
    with pytest.raises(Exception, match="(?s).*"):
        new_client(nucleus, token="of another life")


# What ours does where AWS's client hangs, grows or dies for ever


@pytest.mark.parametrize("says_no", [True, False])
def test_a_refused_token_is_an_error_of_its_own(nucleus: Nucleus, says_no: bool) -> None:
    nucleus.says_no = says_no
    with pytest.raises(ipc.TokenRefused):
        Ours(nucleus, token="of another life")


@pytest.mark.parametrize(("limit", "fits"), [(LITE_LIMIT, False), (JAVA_LIMIT, True)])
def test_a_frame_above_the_nucleuss_limit_ends_the_connection_and_says_so(
    tmp_path: Path, limit: int, fits: bool
) -> None:
    nucleus = Nucleus(tmp_path / "ipc.socket", limit=limit, verdict=lambda topic, payload: None)
    client = Ours(nucleus)
    if fits:
        client.publish(TOPIC, bytes(9_000))
    else:
        with pytest.raises(ipc.Closed, match="closed the connection|gone"):
            client.publish(TOPIC, bytes(9_000))
        assert client.client.closed.is_set()
    nucleus.stop()


def test_a_call_that_is_not_answered_ends_in_an_error_and_a_late_answer_in_nothing(nucleus: Nucleus) -> None:
    nucleus.silent = {"GetConfiguration"}
    client = ipc.Client(nucleus.path, TOKEN, timeout=PATIENCE)
    client._timeout = 0.2
    with pytest.raises(ipc.IpcError, match="TimeoutError: the nucleus did not answer GetConfiguration within 0.2 s"):
        ipc.get_configuration(client)
    client._timeout = PATIENCE
    nucleus.connections[0].respond(0, 1, "aws.greengrass#GetConfigurationResponse", {"value": {"late": 1}})
    nucleus.silent = set()
    assert {"SampleIntervalSeconds": "300"} == ipc.get_configuration(client)
    client.close()


def test_a_nucleus_that_dies_ends_the_calls_that_wait(nucleus: Nucleus) -> None:
    nucleus.silent = {"GetConfiguration"}
    client = Ours(nucleus)
    ended: queue.SimpleQueue[BaseException] = queue.SimpleQueue()

    def ask() -> None:
        try:
            client.configuration()
        except ipc.Closed as error:
            ended.put(error)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: bool(nucleus.calls))
    nucleus.hang_up()
    assert isinstance(ended.get(timeout=PATIENCE), ipc.Closed)
    thread.join()
    assert client.client.closed.is_set()
    with pytest.raises(ipc.Closed):
        client.configuration()


def test_nothing_at_the_sockets_place_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ipc.Client(str(tmp_path / "nothing"), TOKEN)


def test_a_change_of_the_configuration_is_heard(nucleus: Nucleus) -> None:
    client, changed = Ours(nucleus), threading.Event()
    ipc.subscribe_to_configuration(client.client, changed.set)
    nucleus.change_configuration(SampleIntervalSeconds="600")
    assert changed.wait(PATIENCE)
    assert "600" == client.configuration()["SampleIntervalSeconds"]
    client.close()


class Liar:
    """A server that lets everybody in and then sends what the test gives it."""

    def __init__(self, path: Path, said: bytes) -> None:
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self.serve, args=(said,), daemon=True).start()

    def serve(self, said: bytes) -> None:
        connection, _ = self.listener.accept()
        self.connection = connection
        connection.recv(65536)
        connection.sendall(eventstream.encode({":message-type": 5, ":message-flags": 1, ":stream-id": 0}))
        connection.recv(65536)  # the first call
        connection.sendall(said)

    def close(self) -> None:
        self.connection.close()
        self.listener.close()


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff" * 12,
        eventstream.encode({":message-type": 0, ":stream-id": 1}, b"[1]"),
        eventstream.encode({":message-type": 0, ":stream-id": 1}, b"[" * 100_000),
        eventstream.encode({":message-type": 6, ":stream-id": 0}, b"no"),
        eventstream.encode({":message-type": 0, ":stream-id": 1})[:20],
    ],
    ids=["http", "4 GB", "no object", "deep", "protocol error", "half a message"],
)
def test_what_is_no_answer_ends_the_connection_with_one_kind_of_error(tmp_path: Path, said: bytes) -> None:
    liar = Liar(tmp_path / "ipc.socket", said)
    client = ipc.Client(str(liar.path), TOKEN, timeout=PATIENCE)
    client._timeout = 1.0
    client._socket.settimeout(1.0)
    with pytest.raises((ipc.Closed, ipc.IpcError)):
        ipc.get_configuration(client)
    assert client.closed.wait(PATIENCE)


@pytest.mark.slow
def test_a_thousand_connections_that_say_something_damaged_end_each_in_one_kind_of_error(tmp_path: Path) -> None:
    """Each ends at once, and neither a thread nor a descriptor of theirs is left."""
    dice = random.Random(1)
    good = eventstream.encode({":message-type": 0, ":stream-id": 1, "service-model-type": "x#YResponse"}, b"{}")
    before = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for number in range(1_000):
        said = bytearray(good)
        said[dice.randrange(len(said))] ^= dice.randrange(1, 256)
        liar = Liar(tmp_path / f"{number}.socket", bytes(said))
        client = ipc.Client(str(liar.path), TOKEN, timeout=PATIENCE)
        with pytest.raises((ipc.Closed, ipc.IpcError)):
            ipc.get_configuration(client)
        client.close()
        liar.close()
    assert wait_until(lambda: threading.active_count() <= before[0] + 1)
    assert wait_until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before[1] + 1)


def test_a_ping_is_answered_and_a_payload_that_is_no_base64_is_no_message(nucleus: Nucleus) -> None:
    client, heard = Ours(nucleus), queue.SimpleQueue[tuple[str, bytes]]()
    client.subscribe(f"{TOPIC}/accepted", lambda topic, payload: heard.put((topic, payload)))
    (connection,) = nucleus.connections
    (stream,) = connection.subscriptions
    bad = {"message": {"topicName": f"{TOPIC}/accepted", "payload": "%%%"}}
    connection.respond(0, stream, "aws.greengrass#IoTCoreMessage", bad)
    connection.respond(0, stream, "aws.greengrass#IoTCoreMessage", {"message": 5})
    connection.respond(0, 99, "aws.greengrass#IoTCoreMessage", bad)
    connection.send({":message-type": 2, ":message-flags": 0, ":stream-id": 0})
    nucleus.deliver(f"{TOPIC}/accepted", b"good")
    assert b"good" == heard.get(timeout=PATIENCE)[1]
    assert wait_until(lambda: nucleus.pongs == 1)
    client.close()

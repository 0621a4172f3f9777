"""A session through the nucleus says what the nucleus refuses, and ends with its token."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from defender_daemon.collected import Metrics
from defender_publisher.encoding import encode_within
from defender_publisher.greengrass import ipc
from defender_publisher.greengrass.session import GreengrassSession, Token, Way, is_lite, largest_report
from defender_publisher.mqtt import MqttTransport
from defender_publisher.report import build_report
from defender_publisher.snapshot import Connection, Snapshot, Sockets
from defender_publisher.transport import Link
from tests.fakes.nucleus import JAVA_LIMIT, LITE_LIMIT, TOKEN, Nucleus
from tests.publisher.conftest import Run
from tests.waiting import PATIENCE, wait_until

TOPIC = "$aws/things/core-1/defender/metrics/json"


def test_a_nucleus_that_is_offline_ends_nothing_and_no_byte_is_lost(
    nucleus: Nucleus, daemon: subprocess.Popen[str]
) -> None:
    assert wait_until(lambda: len(nucleus.published) >= 1, PATIENCE)
    nucleus.online = False
    nucleus.hang_up()
    calls = len(nucleus.calls)
    assert wait_until(lambda: len(nucleus.calls) >= calls + 5, PATIENCE)
    nucleus.online = True
    before = len(nucleus.published)
    assert wait_until(lambda: len(nucleus.published) > before, PATIENCE)
    assert None is daemon.poll()


def test_a_token_that_a_restarted_nucleus_does_not_know_ends_it_with_75(
    nucleus: Nucleus, daemon: subprocess.Popen[str]
) -> None:
    assert wait_until(lambda: len(nucleus.published) >= 1, PATIENCE)
    nucleus.tokens = {"of the next start"}
    nucleus.hang_up()
    said = daemon.communicate(timeout=PATIENCE * 2)[1]
    assert 75 == daemon.returncode, said
    assert "no longer knows this component's token" in said


@pytest.mark.parametrize("operation", ["SubscribeToIoTCore", "PublishToIoTCore"])
def test_an_operation_that_access_control_lacks_is_named(nucleus: Nucleus, component: Run, operation: str) -> None:
    nucleus.operations.discard(operation)
    done = component("--once")
    assert 1 == done.returncode
    assert f"the nucleus does not allow this component aws.greengrass#{operation} on $aws/things/core-1" in done.stderr


@pytest.mark.parametrize(("limit", "lite"), [(LITE_LIMIT, True), (JAVA_LIMIT, False)])
def test_a_nucleus_that_gives_no_answer_to_which_one_it_is_is_asked_again(
    tmp_path: Path, limit: int, lite: bool
) -> None:
    """What it does not say is taken for the smaller one, and is no answer to remember."""
    nucleus = Nucleus(tmp_path / "ipc.socket", limit=limit)
    way, client = Way(nucleus.path, TOKEN, "core-1"), ipc.Client(nucleus.path, TOKEN, timeout=PATIENCE)
    client._timeout = 0.1
    nucleus.silent = {"GetConfiguration"}
    assert is_lite(client, way)
    client.close()
    client, nucleus.silent = ipc.Client(nucleus.path, TOKEN), set()
    assert [lite, lite] == [is_lite(client, way), is_lite(client, way)]
    assert 2 == len(nucleus.calls)
    client.close()
    nucleus.stop()


@pytest.mark.parametrize("limit", [LITE_LIMIT, JAVA_LIMIT])
def test_the_largest_report_that_lite_takes_is_taken_and_one_byte_more_is_not(tmp_path: Path, limit: int) -> None:
    nucleus = Nucleus(tmp_path / "ipc.socket", limit=limit, verdict=lambda topic, payload: None)
    client = ipc.Client(nucleus.path, TOKEN)
    ipc.publish_to_iot_core(client, TOPIC, bytes(largest_report(TOPIC)))
    if limit == LITE_LIMIT:
        with pytest.raises((ipc.Closed, OSError)):
            ipc.publish_to_iot_core(client, TOPIC, bytes(largest_report(TOPIC) + 4))
    nucleus.stop()


@pytest.mark.parametrize("form", ["json", "cbor"])
@pytest.mark.parametrize("short_names", [True, False])
def test_ten_thousand_connections_are_sampled_to_what_lite_takes_and_their_total_stays_true(
    tmp_path: Path, form: str, short_names: bool
) -> None:
    nucleus = Nucleus(tmp_path / "ipc.socket")
    link, way = Link("the nucleus", 0, "core-1", f"{TOPIC[:-4]}{form}", root_ca=""), Way(nucleus.path, TOKEN, "core-1")
    limits: list[int] = []
    transport = MqttTransport(link, lambda: GreengrassSession(link, way, Token(), limits.append), form)
    connections = frozenset(
        Connection(f"203.0.{number >> 8}.{number & 255}:443", number, "eth0") for number in range(10_000)
    )
    report = build_report(7, Snapshot(0.0, sockets=Sockets(tcp_connections=connections)), None, Metrics())
    transport.connect()
    payload = encode_within(report, form, short_names, *limits)
    assert transport.publish(7, payload).answered, "accepted"
    assert transport.connected, "the nucleus did not hang up"
    found = report["metrics"]["tcp_connections"]["established_connections"]
    assert 10_000 == found["total"]
    assert [(link.topic, payload)] == nucleus.published
    assert len(payload) > limits[0] * 0.9, "as many as fit"
    transport.close()
    nucleus.stop()

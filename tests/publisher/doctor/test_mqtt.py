"""What the doctor finds of MQTT, with the device's own client ID."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from defender_daemon.ladder import FAIL, NOT_TRIED, OK
from defender_publisher.doctor import examination, mqtt
from defender_publisher.mqtt import MqttTransport
from defender_publisher.state import STATE_FILE, State, StateFile
from demo.authority import Authority
from tests.fakes.scripted_broker import ScriptedBroker, reject, silent
from tests.publisher.doctor.test_examination import examined, verdicts

TOPIC = "$aws/things/rpi-0001/defender/metrics/json"


WriteConfig = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("momentary")


def test_the_report_is_kept_in_the_state_and_the_lock_given_back(
    write_config: WriteConfig, broker: ScriptedBroker, tmp_path: Path
) -> None:
    examined(write_config(broker.port))
    assert json.loads((tmp_path / "state" / STATE_FILE).read_text())["accepted_at"] is not None
    with StateFile(tmp_path / "state"):
        pass


def test_a_client_that_is_not_let_in_fails_at_connect(write_config: WriteConfig, broker: ScriptedBroker) -> None:
    broker.script.connack = 5
    steps = examined(write_config(broker.port))
    assert (FAIL, NOT_TRIED, NOT_TRIED) == tuple(steps[name].verdict for name in ("MQTT CONNECT", "SUBACK", "report"))
    assert "this device is not authorized" in steps["MQTT CONNECT"].says
    assert "accept the client ID rpi-0001" in steps["MQTT CONNECT"].advice


def test_a_subscription_that_is_refused_fails_after_connect(write_config: WriteConfig, broker: ScriptedBroker) -> None:
    broker.script.suback = 0x80
    steps = examined(write_config(broker.port))
    assert (OK, FAIL, NOT_TRIED) == tuple(steps[name].verdict for name in ("MQTT CONNECT", "SUBACK", "report"))
    assert f"read {TOPIC}/accepted and {TOPIC}/rejected" in steps["SUBACK"].advice
    assert "iot:" not in str(steps["SUBACK"])  # which is AWS's


def test_a_certificate_of_aws_at_a_broker_of_ones_own_is_told_by_what_name_the_broker_goes(
    write_config: WriteConfig, broker: ScriptedBroker, authority: Authority
) -> None:
    """A built-in broker of amazon-defender-detect lets each certificate subscribe to its own name's topics only."""
    broker.script.suback = 0x80
    files, path = authority.issue("AWS IoT Certificate"), write_config(broker.port)
    config = json.loads(path.read_text())
    config["agent"]["authentication"].update(
        certificate=str(files.certificate), private_key=str(files.private_key), root_ca=str(authority.certificate)
    )
    path.write_text(json.dumps(config))
    step = examined(path)["SUBACK"]
    assert FAIL == step.verdict
    expected = "goes by the certificate's common name, which must be rpi-0001 and is 'AWS IoT Certificate'"
    assert expected in step.advice
    assert "iot:" not in str(step)


def test_a_rejected_report_fails_with_its_code(write_config: WriteConfig, broker: ScriptedBroker) -> None:
    broker.script.answer = reject("InvalidPayload")
    step = examined(write_config(broker.port))["report"]
    assert FAIL == step.verdict
    assert "rejected: InvalidPayload" in step.says
    assert step.advice


def test_throttled_soon_after_a_report_proves_the_way(write_config: WriteConfig, broker: ScriptedBroker) -> None:
    path = write_config(broker.port)
    examined(path)
    broker.script.answer = reject("Throttled")
    step = examined(path)["report"]
    assert OK == step.verdict
    assert "throttled: the connection works" in step.says


def test_throttled_by_a_report_from_before_the_start_proves_the_way(
    write_config: WriteConfig, broker: ScriptedBroker
) -> None:
    """Where nothing is kept of it: the card is new, or the program was installed again."""
    broker.script.answer = reject("Throttled")
    step = examined(write_config(broker.port))["report"]
    assert (OK, True) == (step.verdict, "throttled: the connection works" in step.says)


def test_throttled_long_after_the_last_report_is_another_publisher(
    write_config: WriteConfig, broker: ScriptedBroker, tmp_path: Path
) -> None:
    path = write_config(broker.port)
    with StateFile(tmp_path / "state") as store:
        store.save(State(thing_name="rpi-0001", last_report_id=5, published_at=time.time() - 400))
    broker.script.answer = reject("Throttled")
    step = examined(path)["report"]
    assert (FAIL, True) == (step.verdict, "look for a second publisher of this thing" in step.advice)


def test_silence_is_a_missing_right_to_receive_however_often(
    write_config: WriteConfig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_transport = mqtt.open_transport

    def impatient(settings: object) -> MqttTransport:
        transport = open_transport(settings)
        transport.verdict_timeout = 0.1
        return transport

    monkeypatch.setattr(mqtt, "open_transport", impatient)
    broker.script.answer = silent
    path = write_config(broker.port)
    for _ in range(3):  # the publisher takes the second silence in a row for delivered
        step = examined(path)["report"]
        assert FAIL == step.verdict
        assert "check that something answers reports at this broker" in step.advice


def test_a_report_that_ends_the_connection_is_a_missing_right_to_publish(
    write_config: WriteConfig, broker: ScriptedBroker
) -> None:
    broker.script.close_on_publish = True
    step = examined(write_config(broker.port))["report"]
    assert (FAIL, True) == (step.verdict, "allow this device to write" in step.advice)


def test_on_a_topic_of_ones_own_silence_is_no_failure(
    write_config: WriteConfig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("defender_publisher.mqtt.VERDICT_TIMEOUT", 0.2)
    open_transport = mqtt.open_transport

    def impatient(settings: object) -> MqttTransport:
        transport = open_transport(settings)
        transport.verdict_timeout = 0.1
        return transport

    monkeypatch.setattr(mqtt, "open_transport", impatient)
    broker.script.answer, broker.script.suback = silent, 0x80
    steps = examined(write_config(broker.port, topic="mine/{thing_name}"))
    assert [OK] * len(examination.RUNGS) == verdicts(steps), steps


def test_what_root_makes_in_another_users_state_directory_is_that_users(
    write_config: WriteConfig, broker: ScriptedBroker, tmp_path: Path, unprivileged: int
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, unprivileged, unprivileged)
    examined(write_config(broker.port))
    assert {unprivileged} == {path.stat().st_uid for path in state.iterdir()}

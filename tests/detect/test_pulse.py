"""What systemd is told of Detect, and that a part that hangs costs it the sign of life."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")

from defender_daemon.notify import Notifier
from defender_detect.pulse import Pulse
from defender_detect.receive.endpoint import Endpoint
from defender_detect.receive.messages import Message
from defender_detect.receive.receiver import LONGEST_TURN, Receiver
from demo.authority import Authority
from tests.detect.receive.test_receiver import HOST, credentials_of, report
from tests.detect.test_script import Program, arguments_for, needs_amqtt

WITHIN = 60  # seconds


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(WITHIN)
        yield sock


def watched(manager: socket.socket) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "8000000"})


def heard(manager: socket.socket) -> list[str]:
    """What was said up to now, and nothing else."""
    manager.setblocking(False)
    said = []
    try:
        while True:
            said.append(manager.recv(1000).decode())
    except BlockingIOError:
        return said


def test_there_is_a_sign_of_life_only_while_every_part_makes_progress(
    manager: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    well = {"the broker": True, "the connection": True}
    parts = {name: lambda name=name: well[name] for name in well}
    pulse = Pulse(watched(manager), parts, lambda: "ready on here")
    assert 2.0 == pulse.every
    pulse.beat()
    assert ["STATUS=ready on here", "WATCHDOG=1"] == heard(manager)
    well["the broker"] = False
    with caplog.at_level(logging.WARNING):
        pulse.beat()
        pulse.beat()
        assert ["STATUS=ready on here"] * 2 == heard(manager)
        well["the broker"] = True
        pulse.beat()
    assert "WATCHDOG=1" in heard(manager)
    assert [
        "the broker makes no progress; if that lasts, systemd restarts Detect",
        "the broker makes progress again",
    ] == caplog.messages


def test_an_answer_that_hangs_is_no_progress(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver(Endpoint(HOST, 1), credentials_of(authority, authority.issue("detect")))
    assert receiver.lives()
    entered, leave = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        entered.set()
        leave.wait(WITHIN)

    receiver.on_accepted = hang
    message = Message("$aws/things/t/defender/metrics/json", report(3), is_retained=False)
    thread = threading.Thread(target=receiver._received, args=([message],), daemon=True)
    thread.start()
    assert entered.wait(WITHIN)
    assert receiver.lives(), "it may still come back"
    monkeypatch.setattr("defender_detect.receive.receiver.LONGEST_TURN", -1.0)
    assert not receiver.lives()
    leave.set()
    thread.join(WITHIN)
    assert receiver.lives()
    assert LONGEST_TURN < 60, "which is how long systemd waits"


@needs_amqtt
def test_a_broker_whose_event_loop_stands_still_makes_no_progress(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    from defender_detect.receive import embedded as module
    from defender_detect.receive.embedded import EmbeddedBroker

    broker = EmbeddedBroker(Endpoint(HOST, 0), credentials_of(authority, authority.issue("detect", [HOST])))
    broker.start()
    loop, leave, entered = broker._started.result(), threading.Event(), threading.Event()
    try:
        assert broker.lives()
        assert broker._turned.wait(WITHIN)
        loop.call_soon_threadsafe(lambda: (entered.set(), leave.wait(WITHIN)))
        assert entered.wait(WITHIN)
        assert broker.lives(), "it had turned since it was asked last"
        assert broker.lives(), "a turn may take a while"
        monkeypatch.setattr(module, "LONGEST_TURN", 0.0)
        assert not broker.lives()
        leave.set()
        assert broker._turned.wait(WITHIN)
        assert broker.lives()
    finally:
        leave.set()
        broker.stop(WITHIN)
    assert not broker.lives()


@needs_amqtt
def test_systemd_hears_that_it_is_ready_what_goes_on_and_that_it_stops(
    manager: socket.socket, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    files = arguments_for(authority, authority.issue("detect", ["localhost", HOST]))
    program = Program("--embedded-broker", "--port", "0", *files)
    try:
        endpoint, said = program.ready(), [""]
        while not {"WATCHDOG=1", "READY=1", f"STATUS=ready on {endpoint}, things known: 0"} <= set(said):
            said.append(manager.recv(1000).decode())
        assert 0 == program.end()
        while said[-1] != "STOPPING=1":
            said.append(manager.recv(1000).decode())
    finally:
        program.process.kill()
        program.process.wait()
        program.process.stderr.close()

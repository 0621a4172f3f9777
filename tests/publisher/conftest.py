"""What the tests of the publisher share: sessions, a component with a fake nucleus, a device that has a claim."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from defender_publisher import questions, sdk, session
from defender_publisher.__main__ import main
from defender_publisher.doctor import mqtt, network
from defender_publisher.mqtt import MqttTransport
from defender_publisher.provisioning import calls, commands
from defender_publisher.session import Session
from defender_publisher.tcp import open_socket
from defender_publisher.transport import Link
from demo.authority import Authority
from tests.fakes.nucleus import TOKEN, Nucleus
from tests.fakes.provisioning import ProvisioningBroker
from tests.fakes.scripted_broker import ScriptedBroker
from tests.publisher.provisioning.device import Device, Say
from tests.publisher.sessions import RecordedClient
from tests.quick import LOOKS, RECONNECTS, SOON, quick
from tests.waiting import PATIENCE

EVERY_SECOND = {"agent": {"publish_interval": 1, "allow_short_interval": True}}
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Impatient = Callable[..., contextlib.AbstractContextManager[None]]
TOPIC = "$aws/things/rpi-1/defender/metrics/json"
MOMENT = 0.05  # seconds, in place of those that a single report or a check takes


@pytest.fixture
def momentary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a single report, and a check of the doctor, measure and wait for a moment only, in this process."""
    monkeypatch.setattr(questions, "FIRST_GROWTH", MOMENT)
    monkeypatch.setattr(mqtt, "FIRST_GROWTH", MOMENT)
    monkeypatch.setattr(network, "ALERT_WITHIN", 2 * MOMENT)


@pytest.fixture
def ask(
    momentary: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Run the publisher in this process, in an empty directory, and return what it printed and its exit status."""
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)

    def ask(*arguments: object) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        given = list(map(str, arguments))
        try:
            status = main(given)
        except SystemExit as end:  # of the parser
            status = int(str(end.code or 0))
        return subprocess.CompletedProcess(given, status, *capsys.readouterr())

    yield ask
    signal.signal(signal.SIGTERM, handler)


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
            patch.setattr(session, missing, 0.5)
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
                lambda: open_socket("127.0.0.1", broker.port, timeout=session.HANDSHAKE_TIMEOUT),
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
        made = new_session(**changes)
        made.open()
        return made

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

    monkeypatch.setattr(sdk, "AWSIoTMQTTClient", Client)
    return made


@pytest.fixture
def nucleus(tmp_path: Path) -> Iterator[Nucleus]:
    nucleus = Nucleus(tmp_path / "ipc.socket")
    nucleus.configuration.update(EVERY_SECOND)
    yield nucleus
    nucleus.stop()


@pytest.fixture
def environment(nucleus: Nucleus, tmp_path: Path) -> dict[str, str]:
    """What the nucleus puts into a component's environment."""
    return {
        **os.environ,
        "AWS_IOT_THING_NAME": "core-1",
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": nucleus.path,
        "SVCUID": TOKEN,
        "STATE_DIRECTORY": str(tmp_path / "state"),
    }


@pytest.fixture
def component(ask: Run, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the publisher as a component, once and in this process."""

    def run(*arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch:
            for name, value in {**environment, **changed}.items():
                patch.setenv(name, value)
            return ask("--greengrass", *arguments)

    return run


@pytest.fixture
def daemon(environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The publisher as a component, which reports, connects again and looks after itself soon."""
    command = quick("--greengrass", constants={**SOON, **RECONNECTS, **LOOKS})
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as process:
        yield process
        process.kill()


@pytest.fixture
def aws(tmp_path: Path, authority: Authority) -> Iterator[ProvisioningBroker]:
    """Fleet provisioning on loopback."""
    broker = ProvisioningBroker(tmp_path, authority)
    yield broker
    broker.close()


@pytest.fixture
def device(momentary: None, tmp_path: Path, aws: ProvisioningBroker) -> Device:
    """A device that has a claim and no certificate."""
    return Device(tmp_path / "device", aws)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited between two attempts; nobody waits here."""
    waited: list[float] = []
    monkeypatch.setattr(calls, "APART", 0.0)
    monkeypatch.setattr(commands, "sleep", waited.append)
    monkeypatch.setattr(sdk, "DISPATCH_INTERVAL", 0.05)
    return waited


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Say:
    """What was said since, on both outputs."""

    def said() -> str:
        captured = capsys.readouterr()
        return captured.out + captured.err

    return said

"""What the tests of the publisher share: a Greengrass component with a fake nucleus, a device that has a claim."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from defender_publisher import questions, session
from defender_publisher.__main__ import main
from defender_publisher.doctor import mqtt, network
from defender_publisher.provisioning import calls, commands
from demo.authority import Authority
from tests.fakes.nucleus import TOKEN, Nucleus
from tests.fakes.provisioning import ProvisioningBroker
from tests.publisher.provisioning.device import Device, Say
from tests.quick import LOOKS, RECONNECTS, SOON, quick

EVERY_SECOND = {"agent": {"publish_interval": 1, "allow_short_interval": True}}
Run = Callable[..., "subprocess.CompletedProcess[str]"]
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
    monkeypatch.setattr(session, "DISPATCH_INTERVAL", 0.05)
    return waited


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Say:
    """What was said since, on both outputs."""

    def said() -> str:
        captured = capsys.readouterr()
        return captured.out + captured.err

    return said

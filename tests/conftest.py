"""What the tests share: a certificate authority, the scripts as modules and as processes, free ports."""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from defender_daemon.command_user import VARIABLE
from defender_daemon.logs import PROGRAMS
from demo.authority import Authority
from tests.dispositions import restore_signals
from tests.fakes.emulator import Account, Emulator
from tests.fakes.scripted_broker import ScriptedBroker
from tests.infrastructure.deployment import Machine
from tests.ports import unused_port
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parent.parent
PUBLISHER = ROOT / "amazon-defender-publisher"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the collector rest while the tests are collected: next to nothing of what that makes is ever free."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_configure() -> None:
    """Begin as on a terminal, however the tests were started; commands are ours where root runs them."""
    restore_signals()
    os.environ.setdefault(VARIABLE, "root")  # nobody else can enter the directories that pytest makes
    os.umask(0o022)  # the usual one, with which other users may read what a test makes


def pytest_collection_finish() -> None:
    """Let the collector pass over what was imported: the publisher collects before each connect, as do some tests."""
    freeze()


@pytest.fixture(autouse=True, scope="module")
def frozen() -> Iterator[None]:
    """Let it pass over what the tests of a module imported, too: some import aws_cdk, which is half a second of it."""
    yield
    freeze()


def freeze() -> None:
    """Free what is loose, which would stay for ever otherwise, and let the collector pass over the rest."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def restored_log() -> Iterator[None]:
    """Leave logging as it was, where a test lets a program set it up in this process."""
    loggers = [logging.getLogger(name) for name in (None, *PROGRAMS)]
    before = [(each.level, each.handlers[:]) for each in loggers]
    yield
    for each, (level, handlers) in zip(loggers, before):
        each.handlers[:] = handlers
        each.setLevel(level)


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time stand still, so that what is said of seconds is exact however slow the machine is."""
    now, running = time.time(), time.monotonic()
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setattr(time, "monotonic", lambda: running)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the tests' brokers and things trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def broker(authority: Authority) -> Iterator[ScriptedBroker]:
    """A broker on loopback that behaves as its `script` says."""
    files = authority.issue("broker", ["localhost"])
    broker = ScriptedBroker(files.certificate, files.private_key, authority.certificate)
    yield broker
    broker.close()


@pytest.fixture(scope="session")
def publisher_script() -> ModuleType:
    """The daemon in outline, as a module."""
    return importlib.import_module("defender_publisher.daemon")


@pytest.fixture
def free_port() -> int:
    """A port of the loopback interface that nothing listens on, and that no other test gets."""
    return unused_port()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the publisher as a process, in an empty directory, and return what it printed and its exit status."""

    def run(*arguments: object, timeout: float = PATIENCE, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(PUBLISHER), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=tmp_path, **options)

    return run


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a program with its output piped; whatever still runs is ended after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*command: object, **options: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def write_config(tmp_path: Path, authority: Authority) -> Callable[..., Path]:
    """Write a configuration for a thing with a certificate of its own; keywords go into its agent section."""

    def write_config(port: int, thing: str = "rpi-0001", custom_metrics: object = None, **agent: object) -> Path:
        files = authority.issue(thing)
        authentication = {
            "endpoint": "localhost",
            "port": port,
            "root_ca": str(authority.certificate),
            "certificate": str(files.certificate),
            "private_key": str(files.private_key),
        }
        defaults = {
            "thing_name": thing,
            "authentication": authentication,
            "publish_interval": 1,
            "allow_short_interval": True,
            "state_directory": str(tmp_path / "state"),
        }
        path = tmp_path / f"{thing}.json"
        config = {"agent": {**defaults, **agent}, "custom_metrics": custom_metrics or {"cpu_usage": {}}}
        path.write_text(json.dumps(config))
        return path

    return write_config


@pytest.fixture
def unprivileged() -> int:
    """The id of a user who may read little and write nothing; root is needed to become one."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to run as another user")
    return 65534


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A directory that others may look into, which pytest's own are not, or are no more once another pytest begins."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """AWS on loopback, for all tests of this process."""
    if sys.version_info < (3, 10):
        pytest.skip("ministack, the emulator of AWS, needs Python 3.10 or later, as deploy.py does")
    with Emulator(tmp_path_factory.mktemp("emulator")) as emulator:
        yield emulator


@pytest.fixture
def account(emulator: Emulator) -> Account:
    """An account with nothing in it."""
    print(f"the emulator's log is {emulator.log}")
    return emulator.account()


@pytest.fixture
def machine(account: Account, tmp_path: Path) -> Machine:
    """A machine to deploy to that account from."""
    return Machine(tmp_path, account)

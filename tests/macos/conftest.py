"""What the tests of the macOS installer share: a Mac for each shell, a thing's bundle, and a broker that takes it."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.authority import Authority
from tests.fakes.scripted_broker import ScriptedBroker
from tests.macos.mac import NAME, SHELLS, Mac

THING = "osx-0001"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of a Mac in bash, and one that asks for each shell in each."""
    if "shell" in metafunc.fixturenames:
        metafunc.parametrize("shell", SHELLS if "each_shell" in metafunc.fixturenames else ["bash"])


@pytest.fixture
def each_shell(shell: str) -> str:
    """The shell that this test runs in; naming it makes the test run in each."""
    return shell


@pytest.fixture
def new_mac(tmp_path: Path, shell: str) -> Iterator[Callable[..., Mac]]:
    """Make a Mac; the programs that it started are ended after the test."""
    command, made = SHELLS[shell], []
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")

    def new_mac(name: str = "a mac", **options: object) -> Mac:
        made.append(Mac(tmp_path / name, command, **options))  # type: ignore[arg-type]
        return made[-1]

    yield new_mac
    for mac in made:
        mac.close()


@pytest.fixture
def mac(new_mac: Callable[..., Mac]) -> Mac:
    """A Mac on which nothing is installed."""
    return new_mac()


@pytest.fixture
def new_bundle(tmp_path: Path, authority: Authority, broker: ScriptedBroker) -> Callable[..., Path]:
    """Make a thing's bundle, as deploy.py does, for the test's broker; keywords go into the agent section."""

    def new_bundle(thing: str = THING, **agent: object) -> Path:
        files = authority.issue(thing)
        authentication = {
            "endpoint": "localhost", "port": broker.port, "certificate": "certificate.pem",
            "private_key": "private.key", "root_ca": "roots.pem",
        }  # fmt: skip
        defaults = {"authentication": authentication, "publish_interval": 2, "allow_short_interval": True}
        config = {"agent": {"thing_name": thing, **defaults, **agent}, "custom_metrics": {"cpu_usage": {}}}
        contents = {
            f"{NAME}.json": json.dumps(config).encode(), "certificate.pem": files.certificate.read_bytes(),
            "private.key": files.private_key.read_bytes(), "roots.pem": authority.certificate.read_bytes(),
        }  # fmt: skip
        path = tmp_path / f"{thing} bundle.tar"
        with tarfile.open(path, "w") as bundle:
            for name, content in contents.items():
                header = tarfile.TarInfo(name)
                header.size = len(content)
                bundle.addfile(header, io.BytesIO(content))
        return path

    return new_bundle


@pytest.fixture
def bundle(new_bundle: Callable[..., Path]) -> Path:
    """The bundle of the thing that this Mac is to be."""
    return new_bundle()

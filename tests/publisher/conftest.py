"""What the tests of the publisher share: a Greengrass component, with a nucleus that is a fake."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import PUBLISHER
from tests.fakes.nucleus import TOKEN, Nucleus
from tests.waiting import PATIENCE

SOON = {"agent": {"publish_interval": 2, "allow_short_interval": True}}
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def nucleus(tmp_path: Path) -> Iterator[Nucleus]:
    nucleus = Nucleus(tmp_path / "ipc.socket")
    nucleus.configuration.update(SOON)
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
def component(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run the publisher as a component, once."""

    def run(*arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(PUBLISHER), "--greengrass", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env={**environment, **changed}, cwd=tmp_path, timeout=PATIENCE
        )

    return run


@pytest.fixture
def daemon(environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The publisher as a component."""
    command = [sys.executable, str(PUBLISHER), "--greengrass"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path) as process:
        yield process
        process.kill()

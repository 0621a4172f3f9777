"""An SDK that does not check whom it connects to is not used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from defender_publisher import session as session_module
from defender_publisher.errors import ConfigError
from defender_publisher.settings import read_settings
from defender_publisher.transports import open_transport
from tests.waiting import PATIENCE

# What ends the SDK's network thread: SystemExit, which is how a session ends it, and what these tests do to it.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture(autouse=True)
def prompt_dispatcher(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Let the SDK's dispatcher notice at once that it has to end, but in the test of how often it looks."""
    if "idle" not in request.node.name:
        monkeypatch.setattr(session_module, "DISPATCH_INTERVAL", 0.05, raising=False)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for what comes as long as it takes on a machine that is busy."""
    monkeypatch.setattr(session_module, "ANSWER_TIMEOUT", PATIENCE)
    monkeypatch.setattr(session_module, "HANDSHAKE_TIMEOUT", PATIENCE)


def test_a_publisher_with_an_sdk_that_checks_no_host_name_does_not_start(
    write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read_settings(write_config(8883), {})
    open_transport(settings)
    monkeypatch.setattr("AWSIoTPythonSDK.__version__", "1.6.0")
    with pytest.raises(ConfigError, match="must be at least 1.6.1"):
        open_transport(settings)

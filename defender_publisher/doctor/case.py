"""The case: what the doctor knows of a device so far; each rung of its ladder adds to it."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from defender_daemon.config import Authentication, Config, Raw
from defender_publisher.errors import TransportError
from defender_publisher.settings import Settings
from defender_publisher.state import StateFile
from defender_publisher.transport import Link, Transport
from defender_publisher.transports import Method, method_of

ALTERNATIVE_PORT = 443  # which firewalls let through; AWS IoT answers there as well


class Case:
    """A device to examine, and what was found; an attribute without a value here is set by the rung of its name."""

    config: Config
    origins: Mapping[str, str]
    settings: Settings
    line: socket.socket
    store: StateFile
    transport: Transport

    def __init__(
        self,
        path: Path | None,
        overrides: Raw,
        clock: Callable[[], float] = time.time,
        alternative_port: int = ALTERNATIVE_PORT,
    ) -> None:
        self.path = path
        self.overrides = overrides
        self.clock = clock
        self.alternative_port = alternative_port
        self.daemon_runs = False  # and uses the client ID, as far as its lock on the state directory tells
        self.refused: TransportError | None = None  # what the broker said to SUBSCRIBE

    @property
    def authentication(self) -> Authentication:
        """The endpoint and the credentials, with their defaults filled in."""
        return self.settings.agent.authentication

    @property
    def method(self) -> Method:
        """The way to Device Defender that the configuration names."""
        return method_of(self.authentication)

    @property
    def link(self) -> Link:
        """Whom the device connects to, and as whom."""
        return self.method.link(self.settings)

    @property
    def unneeded(self) -> Mapping[str, str]:
        """The checks that this way to Device Defender does without, and a word on why."""
        names = self.method.unneeded if hasattr(self, "settings") else ()
        return dict.fromkeys(names, f"not needed with {self.authentication.method}" if names else "")

    def close(self) -> None:
        """Hang up, and let a daemon have the state; whatever of that there is."""
        for name in ("line", "transport"):
            with contextlib.suppress(AttributeError, OSError):
                getattr(self, name).close()
        with contextlib.suppress(AttributeError):
            self.store.release()

"""Detect's status: its connection to the broker, what is in force, and the alerts that wait."""

import os
import time
from pathlib import Path
from typing import Optional

import msgspec

from defender_daemon import status
from defender_daemon.status import hash_of
from defender_detect import __version__
from defender_detect.config import Config
from defender_detect.receive.endpoint import Endpoint

STATUS_FILE = "status.json"
LOOKED_EVERY = 60  # seconds; as often the file shows at least that the main loop runs, and a memory card is spared


class Connection(msgspec.Struct, frozen=True):
    """Whether Detect hears its broker, which may be the built-in one, and since when (seconds since the epoch)."""

    host: str
    port: int
    built_in: bool
    connected: bool
    since: float


class Status(status.Status, frozen=True, kw_only=True):
    """What Detect knows of itself; `looked` is when its main loop came round last, to the minute."""

    connection: Connection
    profiles: int = 0
    behaviors: int = 0
    things: int = 0  # that reported within two days
    waiting: dict[str, int] = {}  # alerts, by the name of whom they are for
    looked: float = 0.0

    def line(self) -> str:
        """Return the status in one line, as a service manager shows it."""
        place = Endpoint(self.connection.host, self.connection.port)
        state = f"ready on {place}" if self.connection.connected else f"not connected to {place}"
        return f"{state}, things known: {self.things}"


class StatusFile(status.StatusFile[Status]):
    """Keeps the status in its file, which is written when the main loop looks: never by a flood of warnings."""

    def look(self, connected: bool, **seen: object) -> str:
        """Note what is so now, write it if it is new, and return the status in one line."""
        now, before = time.time(), self.now.connection
        connection = msgspec.structs.replace(
            before, connected=connected, since=before.since if connected == before.connected else now
        )
        self._change(connection=connection, looked=now // LOOKED_EVERY * LOOKED_EVERY, **seen)
        super()._save()
        return self.now.line()

    def _save(self) -> None:
        """Leave it to `look`."""


def open_status(config: Config, config_file: Optional[Path], endpoint: Endpoint) -> StatusFile:
    """Return the status file of a Detect that starts; without a state directory it is none, and nobody can ask."""
    connection = Connection(endpoint.host, endpoint.port, config.agent.embedded_broker, False, time.time())
    begun = Status(
        version=__version__,
        pid=os.getpid(),
        config_file=None if config_file is None else str(config_file.absolute()),
        config_hash=config_hash(config),
        since=time.time(),
        connection=connection,
    )
    directory = config.agent.state_directory
    return StatusFile(begun, Path(directory) / STATUS_FILE if directory else None)


def read_status(directory: Path) -> Optional[Status]:
    """Return the status that Detect last wrote, None if there is none; raises StatusError if it is unreadable."""
    return status.read_status(directory / STATUS_FILE, Status, "Detect itself within a minute")


def config_hash(config: Config) -> str:
    """Return what tells one effective configuration from another.

    Where the private key and the state are does not count, nor which shard it is: systemd hands all of that to the
    service, and not to who asks.
    """
    authentication = msgspec.structs.replace(config.agent.authentication, private_key=None)
    own = {"authentication": authentication, "state_directory": None, "shard": None, "debug": False}
    return hash_of(msgspec.structs.replace(config, agent=msgspec.structs.replace(config.agent, **own)))

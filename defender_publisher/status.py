"""The status: what the daemon last knew of itself, in one small file that can be asked also when the daemon hangs."""

import hashlib
import json
import time
from pathlib import Path
from typing import Optional, Union

import msgspec

from defender_daemon import files
from defender_publisher.errors import DefenderError
from defender_publisher.settings import Settings

STATUS_FILE = "status.json"
HASH_LENGTH = 12  # hexadecimal digits; enough to tell one configuration from another


class ConnectionStatus(msgspec.Struct, frozen=True):
    """Whether there is a connection to the broker, and since when (seconds since the epoch) that is so."""

    host: str
    port: int
    connected: bool
    since: float


class LastReport(msgspec.Struct, frozen=True):
    """The last report that was sent, when (seconds since the epoch), and what became of it after how many seconds."""

    report_id: int
    time: float
    verdict: str  # "accepted", "delivered" (sent, and nobody answers), "rejected: CODE" or "unanswered"
    seconds: Optional[float] = None


class LastAccepted(msgspec.Struct, frozen=True):
    """The last report that Device Defender has; `monotonic` (seconds) is known for those since the daemon's start."""

    report_id: Optional[int]
    time: float
    monotonic: Optional[float] = None


class LastError(msgspec.Struct, frozen=True):
    """The last warning or error in the log, when (seconds since the epoch), and how often in a row."""

    time: float
    text: str
    count: int = 1


class Counts(msgspec.Struct, frozen=True):
    """How many reports were accepted (or delivered), rejected and failed, and how often the connection was renewed."""

    accepted: int = 0
    rejected: int = 0
    failed: int = 0
    reconnects: int = 0


class Status(msgspec.Struct, frozen=True):
    """What the daemon knows of itself; times are in seconds since the epoch, `interval` is that of its reports."""

    version: str
    pid: int
    thing_name: str
    config_file: Optional[str]
    config_hash: str
    since: float
    interval: int
    connection: ConnectionStatus
    last_report: Optional[LastReport] = None
    last_accepted: Optional[LastAccepted] = None
    proven: Optional[LastAccepted] = None  # a report that was refused only because of one from before the start
    last_error: Optional[LastError] = None
    counts: Counts = Counts()
    next_report: Optional[float] = None

    def line(self) -> str:
        """Return the status in one line, as a service manager shows it."""
        state = "connected" if self.connection.connected else "not connected"
        if self.last_report is None:
            return f"{state}, nothing reported yet"
        at = time.strftime("%H:%M:%S", time.localtime(self.last_report.time))
        return f"{state}, report {self.last_report.report_id} {self.last_report.verdict} at {at}"


class StatusError(DefenderError):
    """The status file cannot be read."""


def read_status(directory: Union[str, Path]) -> Optional[Status]:
    """Return the status that the daemon last wrote, None if there is none; raises StatusError if it is unreadable."""
    path = Path(directory) / STATUS_FILE
    try:
        return msgspec.json.decode(files.read(path), type=Status)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StatusError(f"the status file {path} cannot be read: {error.strerror}", "try it with sudo") from error
    except msgspec.MsgspecError as error:
        raise StatusError(
            f"the status file {path} is damaged ({error})", "the daemon's next report repairs it"
        ) from error


def config_hash(settings: Settings) -> str:
    """Return what tells one effective configuration from another: the first digits of its SHA-256.

    Where the private key is does not count: systemd hands a copy of it to the daemon, which whoever asks does not have.
    """
    authentication = msgspec.structs.replace(settings.agent.authentication, private_key=None)
    agent = msgspec.structs.replace(settings.agent, authentication=authentication)
    config = msgspec.structs.replace(settings.config, agent=agent)
    effective = msgspec.to_builtins((settings.thing_name, settings.topic, config))
    # in ASCII, as only the json module can, because a path need not be UTF-8
    return hashlib.sha256(json.dumps(effective, sort_keys=True).encode()).hexdigest()[:HASH_LENGTH]

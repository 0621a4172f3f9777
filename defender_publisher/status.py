"""The publisher's status: its connection and what became of its reports."""

import time
from pathlib import Path
from typing import Optional, Union

import msgspec

from defender_daemon import status
from defender_daemon.status import hash_of_config
from defender_publisher.settings import Settings

STATUS_FILE = "status.json"


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


class Counts(msgspec.Struct, frozen=True):
    """How many reports were accepted (or delivered), rejected and failed, and how often the connection was renewed."""

    accepted: int = 0
    rejected: int = 0
    failed: int = 0
    reconnects: int = 0


class Status(status.Status, frozen=True, kw_only=True):
    """What the daemon knows of itself; times are in seconds since the epoch, `interval` is that of its reports."""

    thing_name: str
    interval: int
    connection: ConnectionStatus
    last_report: Optional[LastReport] = None
    last_accepted: Optional[LastAccepted] = None
    proven: Optional[LastAccepted] = None  # a report that was refused only because of one from before the start
    counts: Counts = Counts()
    next_report: Optional[float] = None

    def line(self) -> str:
        """Return the status in one line, as a service manager shows it."""
        state = "connected" if self.connection.connected else "not connected"
        if self.last_report is None:
            return f"{state}, nothing reported yet"
        at = time.strftime("%H:%M:%S", time.localtime(self.last_report.time))
        return f"{state}, report {self.last_report.report_id} {self.last_report.verdict} at {at}"


def read_status(directory: Union[str, Path]) -> Optional[Status]:
    """Return the status that the daemon last wrote, None if there is none; raises StatusError if it is unreadable."""
    return status.read_status(Path(directory) / STATUS_FILE, Status, "the daemon's next report")


def config_hash(settings: Settings) -> str:
    """Return what tells one effective configuration from another."""
    return hash_of_config(settings.agent, settings.config, settings.thing_name, settings.topic)

"""The publisher's status file: kept up to date as reports, connections and errors come and go."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from defender_daemon import status
from defender_daemon.text import name_of
from defender_publisher import __version__
from defender_publisher.settings import Settings
from defender_publisher.state import State
from defender_publisher.status import (
    STATUS_FILE,
    ConnectionStatus,
    Counts,
    LastAccepted,
    LastReport,
    Status,
    config_hash,
)
from defender_publisher.transport import Watcher
from defender_publisher.transports import method_of

if TYPE_CHECKING:
    from defender_publisher.textfile import TextFile

DELIVERED = ("accepted", "delivered")  # the verdicts after which Device Defender has the report
NEVER_REPORTED = State()


class StatusFile(status.StatusFile[Status], Watcher):
    """Keeps the status up to date in memory and, if there is a directory, in its file; tells each change's line."""

    def __init__(
        self,
        settings: Settings,
        directory: str | None = None,
        state: State = NEVER_REPORTED,
        before: StatusFile | None = None,
        announce: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Begin with the `state` that an earlier run left, and with the status of this one `before` a reload."""
        link = method_of(settings.agent.authentication).link(settings)
        now = time.time()
        self._connections = 0
        begun = Status(
            version=__version__,
            pid=os.getpid(),
            thing_name=settings.thing_name,
            config_file=name_of(str(settings.path.resolve())) if settings.path else None,
            config_hash=config_hash(settings),
            since=now,
            interval=settings.agent.publish_interval,
            connection=ConnectionStatus(link.host, link.port, False, now),
            last_accepted=None if state.accepted_at is None else LastAccepted(None, state.accepted_at),
        )
        super().__init__(begun, Path(directory) / STATUS_FILE if directory else None, announce)
        self._textfile = open_textfile(settings)
        if before is not None:
            old = before.now
            self._change(since=old.since, counts=old.counts, last_report=old.last_report, last_error=old.last_error)
            self._change(last_accepted=old.last_accepted, proven=old.proven)
            self._connections = before._connections
        self._change()

    def connected(self) -> None:
        """Note that there is a connection from now on."""
        with self._lock:
            self._connections += 1
            counts = msgspec.structs.replace(self.now.counts, reconnects=self._connections - 1)
            self._change(connection=self._connection(True), counts=counts)

    def disconnected(self) -> None:
        """Note that there is none any more."""
        self._change(connection=self._connection(False))

    def reported(self, report_id: int, verdict: str, seconds: float | None = None) -> None:
        """Note what became of a report."""
        now = time.time()
        changes: dict[str, Any] = {"last_report": LastReport(report_id, now, verdict, seconds)}
        if verdict in DELIVERED:
            changes["last_accepted"] = LastAccepted(report_id, now, time.monotonic())
        kind = "accepted" if verdict in DELIVERED else "rejected" if verdict.startswith("rejected") else "failed"
        with self._lock:
            self._change(counts=self._one_more(kind), **changes)

    def proven(self, report_id: int) -> None:
        """Note that a report was refused only because of one from before the start."""
        self._change(proven=LastAccepted(report_id, time.time(), time.monotonic()))

    def failed(self) -> None:
        """Note that no report could be made."""
        with self._lock:
            self._change(counts=self._one_more("failed"))

    def next_report(self, seconds: float | None) -> None:
        """Note in how many seconds the next report is due; None while it waits for a connection."""
        self._change(next_report=None if seconds is None else round(time.time() + seconds, 1))

    def _save(self) -> None:
        super()._save()
        if self._textfile is not None:
            self._textfile.write(self.now)

    def _one_more(self, kind: str) -> Counts:
        return msgspec.structs.replace(self.now.counts, **{kind: getattr(self.now.counts, kind) + 1})

    def _connection(self, connected: bool) -> ConnectionStatus:
        return msgspec.structs.replace(self.now.connection, connected=connected, since=time.time())


def open_textfile(settings: Settings) -> TextFile | None:
    """Return what writes the status as metrics, if that is asked for."""
    if settings.agent.textfile is None:
        return None
    from defender_publisher.textfile import TextFile  # here, because most do without

    return TextFile(Path(settings.agent.textfile))

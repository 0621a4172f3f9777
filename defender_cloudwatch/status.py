"""The status: what became of the metrics and logs of this run, kept in a file beside the places."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import msgspec

from defender_cloudwatch import __version__
from defender_cloudwatch.config import Settings
from defender_daemon import status
from defender_daemon.status import hash_of_config
from defender_daemon.text import name_of

STATUS_FILE = "cloudwatch-status.json"
METRICS, LOGS = "metrics", "logs"
WRITTEN_AGAIN_AFTER = 60.0  # seconds; turns that change nothing but the time are no reason to wear a memory card out


class Channel(msgspec.Struct, frozen=True):
    """What became of the metrics, or of the logs; `interval` is in seconds, counts are since the start.

    `worked` is when a turn last ended without a failure (seconds since the epoch), also one that had nothing to send;
    `monotonic` is the same by a clock that nobody sets. `sent` counts values or events, `failed` turns.
    """

    interval: int
    worked: Optional[float] = None
    monotonic: Optional[float] = None
    sent: int = 0
    failed: int = 0
    rejected: int = 0  # events that CloudWatch Logs refused because of their times


class Status(status.Status, frozen=True, kw_only=True):
    """What the program knows of itself; a channel is None where the configuration sends nothing over it."""

    thing_name: str
    region: str
    metrics: Optional[Channel] = None
    logs: Optional[Channel] = None
    sources: Optional[int] = None  # logs that are followed

    def line(self) -> str:
        """Return the status in one line, as a service manager shows it."""
        return "; ".join(
            f"{name} {'failed' if channel.worked is None and channel.failed else _sent(channel)}"
            for name, channel in ((METRICS, self.metrics), (LOGS, self.logs))
            if channel is not None
        )


def _sent(channel: Channel) -> str:
    return f"sent {channel.sent}" if channel.worked is not None else "not sent yet"


class StatusFile(status.StatusFile[Status]):
    """Keeps the status up to date in memory and in its file; tells each change's line."""

    def __init__(
        self,
        settings: Settings,
        before: Optional["StatusFile"] = None,
        announce: Callable[[str], None] = lambda line: None,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin, with the status of this run `before` a reload; `progress` is called where a turn gets on."""
        self._progress = progress
        self._kept_at = 0.0
        begun = Status(
            version=__version__,
            pid=os.getpid(),
            config_file=name_of(str(settings.path.resolve())),
            config_hash=config_hash(settings),
            since=time.time(),
            thing_name=settings.thing_name,
            region=settings.region,
            metrics=Channel(settings.metrics_interval) if settings.namespace is not None else None,
            logs=Channel(settings.logs_interval) if settings.files or settings.journal else None,
        )
        super().__init__(begun, settings.state_directory / STATUS_FILE, announce)
        if before is not None:
            old = before.now
            self._change(since=old.since, last_error=old.last_error)
            for name in (METRICS, LOGS):
                was, now = getattr(old, name), getattr(begun, name)
                if was is not None and now is not None:
                    self._change(**{name: msgspec.structs.replace(was, interval=now.interval)})
        self._change()

    def progressed(self) -> None:
        """Note that a turn gets on, however long it takes."""
        self._progress()

    def worked(self, name: str, sent: int) -> None:
        """Note a turn, or a part of one, that did what it had to."""
        now = time.monotonic()
        channel: Channel = getattr(self.now, name)
        if not sent and channel.monotonic is not None and now - channel.monotonic < WRITTEN_AGAIN_AFTER:
            return
        changes = {"worked": time.time(), "monotonic": now, "sent": channel.sent + sent}
        self._change(**{name: msgspec.structs.replace(channel, **changes)})

    def failed(self, name: str) -> None:
        """Note a turn that failed."""
        self._count(name, failed=1)

    def rejected(self, events: int) -> None:
        """Note events that CloudWatch Logs refused because of their times."""
        self._count(LOGS, rejected=events)

    def followed(self, sources: int) -> None:
        """Note how many logs are followed."""
        if sources != self.now.sources:
            self._change(sources=sources)

    def _count(self, name: str, **more: int) -> None:
        channel = getattr(self.now, name)
        if channel is not None:
            changes: dict[str, Any] = {each: getattr(channel, each) + number for each, number in more.items()}
            self._change(**{name: msgspec.structs.replace(channel, **changes)})


def read_status(directory: Path) -> Optional[Status]:
    """Return the status that the program last wrote, None if there is none; raises StatusError."""
    return status.read_status(directory / STATUS_FILE, Status, "the program's next turn")


def config_hash(settings: Settings) -> str:
    """Return what tells one effective configuration from another."""
    return hash_of_config(settings.agent, settings.config, settings.thing_name, settings.region)

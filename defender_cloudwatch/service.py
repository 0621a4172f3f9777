"""The service: what the jobs do at each turn, and when their next turn is."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from defender_cloudwatch import status
from defender_cloudwatch.call import METRICS, Api
from defender_cloudwatch.config import Settings, own_log
from defender_cloudwatch.connection import trusting
from defender_cloudwatch.credentials import Keeper
from defender_cloudwatch.delivery import Delivery, Watcher
from defender_cloudwatch.errors import CallFailed, CloudWatchError, CredentialsError
from defender_cloudwatch.here import this_machine
from defender_cloudwatch.metrics import MOST_A_CALL, Gauge, as_data, dimensions_of
from defender_cloudwatch.places import Places, Standing
from defender_cloudwatch.sources import Files, JournalSource, Source, SourceError
from defender_cloudwatch.status import StatusFile
from defender_daemon import lock
from defender_daemon.backoff import Backoff

log = logging.getLogger("defender_cloudwatch")

LOCK = "cloudwatch.lock"
OLDEST_METRIC = 13 * 24 * 3600.0  # seconds; CloudWatch takes what is two weeks old


class StateError(CloudWatchError):
    """The state directory cannot be used; says why."""


class Service(Watcher):
    """Sends the metrics and logs of one configuration; the jobs call `send_metrics` and `send_logs`."""

    def __init__(self, settings: Settings, status: StatusFile | None = None, keep: bool = True) -> None:
        """Open the state directory, unless nothing is to be kept; raises StateError."""
        self._settings, self._status = settings, status
        self._lock = _lock(settings.state_directory) if keep else None
        self._stopping = threading.Event()
        self._places = Places(settings.state_directory if keep else None)
        keeper, way = Keeper(settings.source), settings.way
        trust = functools.lru_cache(lambda: trusting(way))  # for both: it takes more memory than all else of a call
        self._metrics_api, self._logs_api = (
            Api(settings.region, keeper, way, settings.endpoint, trust)
            for _ in range(2)  # one for each thread
        )
        self._delivery = Delivery(self._logs_api, self._places, settings.retention, watcher=self)
        self._files = Files(settings.files, own_log(settings.agent), self._standing, self._is_known)
        self._sources = self._open_sources()
        self._gauge = Gauge(this_machine(settings.agent.procfs_path))
        self._waiting: list[dict[str, Any]] = []  # metrics that could not be sent yet, the oldest first
        self._backoff = Backoff()  # of the logs

    def measure(self) -> list[dict[str, Any]]:
        """Return this machine's metrics as CloudWatch takes them."""
        dimensions = dimensions_of(self._settings.dimensions, self._settings.thing_name)
        return as_data(list(self._gauge.measure()), self._settings.names, dimensions, time.time())

    def put_metrics(self) -> int:
        """Send this machine's metrics, and those that wait; return how many. Raises CallFailed or CredentialsError."""
        oldest = time.time() - OLDEST_METRIC
        waiting = [each for each in self._waiting + self.measure() if each["Timestamp"] > oldest]
        self._waiting = waiting[-MOST_A_CALL:]
        if not self._waiting:
            return 0
        content = {"Namespace": self._settings.namespace, "MetricData": self._waiting}
        try:
            self._metrics_api.call(METRICS, "PutMetricData", content)
        finally:
            self._metrics_api.rest()
        count, self._waiting = len(self._waiting), []
        return count

    def send_metrics(self) -> float:
        """Send this machine's metrics; return the seconds until the next turn."""
        try:
            count = self.put_metrics()
            log.debug("sent %d metrics", count)
            self._worked(status.METRICS, count)
        except (CallFailed, CredentialsError) as error:
            log.error("metrics were not sent: %s", error)
            self._failed(status.METRICS)
        return float(self._settings.metrics_interval)  # of a metric no value is sent twice, so there is no hurry

    def send_logs(self) -> float:
        """Send what is new in every log; return the seconds until the next turn."""
        try:
            failed = self.put_logs()[1]
        except OSError as error:
            log.error("where reading stands cannot be kept (%s), so no log is sent until it can", error.strerror)
            failed = True
        finally:
            self._logs_api.rest()
        if failed:
            self._failed(status.LOGS)
            return max(self._backoff.failed(), float(self._settings.logs_interval))
        self._worked(status.LOGS, 0)
        self._backoff = Backoff()
        return float(self._settings.logs_interval)

    def put_logs(self) -> tuple[int, bool]:
        """Send what is new in every log; return how many events, and whether AWS did not take others."""
        count, failed = 0, False
        sources = self._sources()
        if self._status is not None:
            self._status.followed(len(sources))
        for source in sources:
            if self._stopping.is_set():
                break
            try:
                count += self._delivery.turn(source, self._stopping.is_set)
            except SourceError as error:
                log.warning("%s", error)
            except CredentialsError as error:
                log.error("logs were not sent: %s", error)
                return count, True
            except CallFailed as error:
                log.error("%s was not sent on: %s", source.name, error)
                failed = True
                if error.passing:  # for the others as well
                    break
        return count, failed

    def stop(self) -> None:
        """Let the jobs end after the call that they are in."""
        self._stopping.set()

    def close(self) -> None:
        """Let go of the logs, and let another process have the state."""
        self._files.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def progressed(self) -> None:
        """Note that a turn gets on."""
        if self._status is not None:
            self._status.progressed()

    def sent(self, events: int) -> None:
        """Note a batch that arrived."""
        self._worked(status.LOGS, events)

    def rejected(self, events: int) -> None:
        """Note events that CloudWatch Logs refused because of their times."""
        if self._status is not None:
            self._status.rejected(events)

    def preview(self) -> Iterator[tuple[Source, list[str]]]:
        """Yield each source that can be read, with what comes next in it."""
        for source in self._sources():
            try:
                reading = source.read()
            except SourceError as error:
                log.warning("%s", error)
                continue
            yield source, [] if reading is None else [each.message for each in reading.events]

    def _worked(self, channel: str, sent: int) -> None:
        if self._status is not None:
            self._status.worked(channel, sent)

    def _failed(self, channel: str) -> None:
        if self._status is not None:
            self._status.failed(channel)

    def _open_sources(self) -> Callable[[], list[Source]]:
        """Return what returns all sources, and looks for new files."""
        settings = self._settings
        others: list[Source] = []
        if settings.journal is not None:
            others.append(JournalSource(settings.journal, self._standing("journal")))

        def look() -> list[Source]:
            found = self._files.look()
            for entry in settings.files:
                if not self._is_known(entry.pattern):
                    self._places.put(_known(entry.pattern), Standing({"known": True}))
            return [*found, *others]

        return look

    def _standing(self, name: str) -> Any:
        place = self._places.of(name).place
        return place.get("at") if isinstance(place, dict) else None

    def _is_known(self, pattern: str) -> bool:
        return self._places.of(_known(pattern)) != Standing()


def _known(pattern: str) -> str:
    return f"entry {pattern}"


def _lock(directory: Path) -> IO[str]:
    """Take the state directory for this process alone."""
    try:
        return lock.take(directory / LOCK)
    except BlockingIOError as error:
        raise StateError(
            f"another amazon-defender-cloudwatch runs with the state in {directory}: stop it first, or give this one "
            "an agent.state_directory of its own"
        ) from error
    except OSError as error:
        raise StateError(f"the state directory {directory} cannot be used: {error.strerror}") from error

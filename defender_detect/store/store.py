"""The store: keeps metric values, violation events and states in a directory, and lets nobody wait for the disk."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from defender_daemon import lock
from defender_detect.errors import StoreError, StoreUnavailable
from defender_detect.store.batch import NOTHING_NEW, Batch, Count, Latest, Report
from defender_detect.store.pruning import Limits
from defender_detect.store.reader import Reader
from defender_detect.store.schema import is_damage, set_aside
from defender_detect.store.writer import Writer

if TYPE_CHECKING:
    from defender_detect.evaluate.alarms import Event, Lasting
    from defender_detect.metrics import Value

DAY = 24 * 3600.0  # seconds
KEEP_VALUES, KEEP_EVENTS = 14 * DAY, 30 * DAY  # as long as AWS does
MOST_BYTES = 10_000_000_000  # 20,000 things for 14 days; one hostile thing can send 34 MB a day
INTERVAL = 0.5  # seconds between two batches, which is what a SIGKILL costs at most
PRUNE_EVERY = 3600.0  # seconds
PRUNE_FOR = 0.2  # seconds of each interval, six steps: three times what 10,000 reports a second add
STOP_TIMEOUT = 10.0  # seconds for the last batch; a disk that hangs must not keep Detect from ending
LOCK_FILE = "lock"
FAILING = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # of a disk, which may take something again later

log = logging.getLogger(__name__)


class Store(Reader):
    """The store of a state directory, which belongs to one Detect at a time; it answers with what is written."""

    def __init__(
        self,
        directory: str | Path,
        keep_values: float = KEEP_VALUES,
        keep_events: float = KEEP_EVENTS,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.time,
        most_bytes: float = MOST_BYTES,
    ) -> None:
        """Open the store and begin to write; raises StoreError if the directory cannot be used."""
        super().__init__(directory)
        self._keep_values, self._keep_events, self._most_bytes = keep_values, keep_events, most_bytes
        self._interval, self._clock = interval, clock
        self._lock_file = _take_directory(self.path.parent)
        try:
            self._writer = Writer(self.path)
        except BaseException:
            self._lock_file.close()
            raise
        self._waiting, self._waiting_lock = Batch(), threading.Lock()
        self._turn_lock = threading.Lock()
        self._next_pruning = 0.0  # of the monotonic clock: at once
        self._has_complained = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    def add(
        self,
        thing: str,
        time: float,
        values: Mapping[str, Value] | None,
        events: Sequence[Event] = (),
        state: bytes | None = None,
        report_id: int | None = None,
        lasting: Sequence[Lasting] = (),
    ) -> None:
        """Keep what came of a thing's report; returns at once, and it is on the disk within a second.

        `values` are the metrics to retain, not to be changed afterwards; None if there was no report, only `events`
        and a `state`. `lasting` are the alarms that were on before and that this report violated again.
        """
        latest = Latest(report_id, None if values is None else time, state)
        with self._waiting_lock:
            waiting = self._waiting
            if values:
                waiting.add_report(Report(thing, time, values))
            if events:
                waiting.add_events(events)
            if lasting:
                waiting.add_lasting(time, lasting)
            if latest != NOTHING_NEW:
                waiting.add_latest(thing, latest)

    def count(self, name: str, more: float = 1, labels: tuple[str, ...] = ()) -> None:
        """Add to what is counted for good under a name; returns at once."""
        with self._waiting_lock:
            self._waiting.count(Count(name, labels), more)

    def set_level(self, name: str, value: float, labels: tuple[str, ...] = ()) -> None:
        """Keep a number that goes up and down, as it is now; returns at once."""
        with self._waiting_lock:
            self._waiting.levels[Count(name, labels)] = value

    def flush(self) -> bool:
        """Write what waits now, and return whether that could be done."""
        with self._turn_lock:
            return self._write_waiting()

    def close(self, timeout: float = STOP_TIMEOUT) -> None:
        """Write what waits, and let another Detect have the directory."""
        self._closing.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            log.error("the disk of %s takes nothing: the last reports are not kept", self.path.parent)
            return
        if not self.flush():
            log.error("the last reports could not be written to %s", self.path)
        self._writer.close()
        self._lock_file.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while not self._closing.wait(self._interval):
            try:
                with self._turn_lock:
                    self._write_waiting()
                    self._prune_when_due()
            except Exception:  # an exception here would end the thread, and nothing would be kept from then on
                log.exception("what was added in the last %g s is not kept", self._interval)

    def _write_waiting(self) -> bool:
        with self._waiting_lock:
            batch, self._waiting = self._waiting, Batch()
        if batch:
            try:
                self._write(batch)
            except (sqlite3.OperationalError, StoreError) as error:
                self._keep_waiting(batch, error)
                return False
            self._note_recovery(batch.dropped)
        return True

    def _write(self, batch: Batch) -> None:
        try:
            self._writer.write(batch)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            self._start_afresh(error)
            self._writer.write(batch)

    def _start_afresh(self, error: sqlite3.Error) -> None:
        self._writer.close()
        set_aside(self.path, error)
        self._writer = Writer(self.path)

    def _keep_waiting(self, batch: Batch, error: Exception) -> None:
        with self._waiting_lock:
            self._waiting = batch.put_before(self._waiting)
        if not self._has_complained:
            log.error(
                "%s cannot be written (%s): what is to be kept waits in memory, the newest of it", self.path, error
            )
        self._has_complained = True

    def _note_recovery(self, dropped: int) -> None:
        if dropped:
            log.error("%d reports or events are not kept in %s: there was no room for them", dropped, self.path)
        if self._has_complained:
            log.warning("%s can be written again", self.path)
        self._has_complained = False

    def _prune_when_due(self) -> None:
        if time.monotonic() >= self._next_pruning:
            self._next_pruning = time.monotonic() + PRUNE_EVERY
            now = self._clock()
            limits = Limits(now - self._keep_values, now - self._keep_events, self._most_bytes)
            self._writer.start_pruning(limits)
        end = time.monotonic() + PRUNE_FOR
        try:
            while self._writer.prune_a_step() and time.monotonic() < end and not self._closing.is_set():
                pass
        except sqlite3.Error as error:
            log.warning("what is too old could not be removed from %s (%s): trying again in an hour", self.path, error)


def _take_directory(directory: Path) -> IO[str]:
    """Make the directory, for its owner only, and keep other Detects out of it; raises StoreError."""
    try:
        return lock.take(directory / LOCK_FILE)
    except BlockingIOError:
        raise StoreError(
            f"another amazon-defender-detect is running with the state directory {directory}: "
            "stop it first, or give this one a directory of its own"
        ) from None
    except OSError as error:
        kind = StoreUnavailable if error.errno in FAILING else StoreError
        raise kind(f"the state directory {directory} cannot be used ({os.strerror(error.errno or 0)})") from error

"""The delivery: each event reaches its stream once, whatever happens between two instructions.

Before a batch is sent, its first event and the place after it are on the disk. Where it is not known whether the batch
arrived (a kill, a lost connection), CloudWatch Logs is asked for that event. The first event of each batch has a time
of its own, so that there is no other like it.
"""

from __future__ import annotations

import itertools
import logging
import operator
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from defender_cloudwatch.batch import LogEvent, cut, split
from defender_cloudwatch.call import LOGS, Api
from defender_cloudwatch.errors import CallFailed
from defender_cloudwatch.places import Pending, Places, Standing
from defender_cloudwatch.sources import Reading, Source, Target

log = logging.getLogger("defender_cloudwatch")

LONGEST_AHEAD = 3_600_000  # milliseconds; CloudWatch Logs refuses events of more than two hours from now
MOST_PAGES = 20  # of GetLogEvents, some of which are empty
TOO_OLD = ("tooOldLogEventEndIndex", "expiredLogEventEndIndex")  # the first index that is not


class Rejected(NamedTuple):
    """How many events of a batch were refused because they are too old, and how many because they are too new."""

    old: int
    new: int

    def reasons(self) -> Iterator[str]:
        """Yield what is wrong with them."""
        if self.old:
            yield f"{self.old} are older than 14 days or the log group's retention"
        if self.new:
            yield f"{self.new} are more than two hours ahead (check this device's clock)"


def rejected_of(info: Mapping[str, int], events: int) -> Rejected:
    """Return what PutLogEvents says of a batch of so many events."""
    new = events - info["tooNewLogEventStartIndex"] if "tooNewLogEventStartIndex" in info else 0
    return Rejected(max(info.get(key, 0) for key in TOO_OLD), new)


class Watcher:
    """Is told what becomes of events; this one does not care."""

    def progressed(self) -> None:
        """Note that a turn gets on: the next batch is on its way."""

    def sent(self, events: int) -> None:
        """Note a batch that arrived."""

    def rejected(self, events: int) -> None:
        """Note events that CloudWatch Logs refused because of their times."""


class Delivery:
    """Sends what sources read, and keeps where they stand."""

    def __init__(
        self,
        api: Api,
        places: Places,
        retention: int | None = None,
        clock: Callable[[], float] = time.time,
        watcher: Watcher | None = None,
    ) -> None:
        self._api, self._places, self._retention, self._clock = api, places, retention, clock
        self._watcher = watcher or Watcher()

    def turn(self, source: Source, stopped: Callable[[], bool] = lambda: False) -> int:
        """Send everything that a source has now; return how many events that were.

        Raises CallFailed or CredentialsError, SourceError, or OSError where a place cannot be kept.
        """
        self._watcher.progressed()
        self._settle(source)
        count = 0
        while not stopped() and (reading := source.read()) is not None:
            count += self._send(source, reading, stopped)
            if self._at(source.name) != reading.at:
                return count  # stopped between two batches
            source.done()
        if self._places.of(source.name) == Standing() and source.where() is not None:
            self._places.put(source.name, Standing(_place(source.where(), 0, 0)))
        return count

    def _settle(self, source: Source) -> None:
        """Find out whether the batch arrived that was on its way when the program or the connection ended."""
        standing = self._places.of(source.name)
        if standing.pending is None:
            return
        arrived = self._has_arrived(standing.pending)
        log.info("%s: the last batch %s", source.name, "had arrived" if arrived else "is sent again")
        place = standing.pending.place if arrived else standing.place
        self._places.put(source.name, Standing(place))
        if arrived:
            source.done()  # of what was read in this process; after a start there is nothing
            if source.where() != place.get("at"):
                source.resume(place.get("at"))

    def _has_arrived(self, pending: Pending) -> bool:
        """Ask CloudWatch Logs for the first event of a batch, at its time."""
        content: dict[str, Any] = {
            "logGroupName": pending.group,
            "logStreamName": pending.stream,
            "startTime": pending.first.time,
            "endTime": pending.first.time + 1,
            "startFromHead": True,
        }
        for _ in range(MOST_PAGES):
            self._watcher.progressed()
            try:
                answer = self._api.call(LOGS, "GetLogEvents", content)
            except CallFailed as error:
                if error.passing:
                    raise
                if "NotFound" not in error.code:
                    log.warning("it cannot be found out whether the last batch arrived, so it is sent again: %s", error)
                return False
            if any(each.get("message") == pending.first.message for each in answer.get("events", ())):
                return True
            token = answer.get("nextForwardToken")
            if not token or token == content.get("nextToken"):
                return False
            content["nextToken"] = token
        return False

    def _send(self, source: Source, reading: Reading, stopped: Callable[[], bool]) -> int:
        """Send what was read, but what has been sent of it already, batch by batch."""
        kept = self._places.of(source.name).place
        if kept is None:
            kept = _place(source.where(), 0, 0)
            self._places.put(source.name, Standing(kept))
        sent = int(kept.get("sent", 0))
        events = cut(reading.events)[sent:]
        batches = list(split(self._timed(events, int(kept.get("time", 0)))))
        count = 0
        for number, batch in enumerate(batches, 1):
            if stopped():
                return count
            count += len(batch)
            is_last = number == len(batches)
            at, already = (reading.at, 0) if is_last else (kept.get("at"), sent + count)
            self._put(source, batch, _place(at, already, batch[-1].time))
        if not batches:
            self._places.put(source.name, Standing(_place(reading.at, 0, int(kept.get("time", 0)))))
        return count

    def _put(self, source: Source, batch: Sequence[LogEvent], after: dict[str, Any]) -> None:
        self._watcher.progressed()
        before, target = self._places.of(source.name).place, source.target
        self._places.put(source.name, Standing(before, Pending(target.group, target.stream, batch[0], after)))
        try:
            self._put_events(target, batch)
        except CallFailed as error:
            if not error.passing or "Throttl" in error.code:  # an answer: nothing of it was taken
                self._places.put(source.name, Standing(before))
            raise
        self._places.put(source.name, Standing(after))
        self._watcher.sent(len(batch))

    def _put_events(self, target: Target, batch: Sequence[LogEvent]) -> None:
        content = {
            "logGroupName": target.group,
            "logStreamName": target.stream,
            "logEvents": batch,
        }
        try:
            answer = self._api.call(LOGS, "PutLogEvents", content)
        except CallFailed as error:
            if "ResourceNotFound" not in error.code:
                raise
            self.create(target)
            answer = self._api.call(LOGS, "PutLogEvents", content)
        info = answer.get("rejectedLogEventsInfo")
        if info:
            self._note_rejected(target, rejected_of(info, len(batch)))

    def _note_rejected(self, target: Target, rejected: Rejected) -> None:
        self._watcher.rejected(rejected.old + rejected.new)
        log.warning(
            "CloudWatch Logs rejected events of %s/%s by their times, and they are not sent again: %s",
            *target,
            " and ".join(rejected.reasons()),
        )

    def create(self, target: Target) -> None:
        """Make the stream, and its group where there is none; that one's retention is set once."""
        stream = {"logGroupName": target.group, "logStreamName": target.stream}
        try:
            self._call_for_new("CreateLogStream", stream)
        except CallFailed as error:
            if "ResourceNotFound" not in error.code:
                raise
            self._call_for_new("CreateLogGroup", {"logGroupName": target.group})
            self._set_retention(target.group)
            self._call_for_new("CreateLogStream", stream)
        log.info("made the log stream %s in %s", target.stream, target.group)

    def _set_retention(self, group: str) -> None:
        if self._retention is None:
            return
        try:
            self._api.call(LOGS, "PutRetentionPolicy", {"logGroupName": group, "retentionInDays": self._retention})
        except CallFailed as error:
            log.warning("the retention of %s was not set: %s", group, error)

    def _call_for_new(self, operation: str, content: dict[str, Any]) -> None:
        try:
            self._api.call(LOGS, operation, content)
        except CallFailed as error:
            if "AlreadyExists" not in error.code:
                raise

    def _at(self, name: str) -> Any:
        return (self._places.of(name).place or {}).get("at")

    def _timed(self, events: Sequence[LogEvent], last: int) -> Sequence[LogEvent]:
        """Put events into the order of time; the first comes after everything that was sent before."""
        if last > self._clock() * 1000 + LONGEST_AHEAD:
            last = 0  # of a time at which the clock was wrong
        times = [last + 1, *[each.time for each in events]]
        if all(map(operator.le, times, times[1:])):
            return events
        latest = itertools.accumulate(times, max)
        next(latest)
        return [LogEvent(time, each.message) for time, each in zip(latest, events)]


def _place(at: Any, sent: int, time: int) -> dict[str, Any]:
    """Return where a source stands: `sent` events of what comes after `at` are there, the last at `time`."""
    return {"at": at, "sent": sent, "time": time}

"""Batches: log events within the limits of PutLogEvents.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html: at most 1,048,576 bytes and
10,000 events a batch, 26 bytes more for each event, 24 hours between the first and the last, in the order of time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

LARGEST_BATCH, MOST_EVENTS, EXTRA = 1_048_576, 10_000, 26  # bytes, events, bytes an event
LARGEST_EVENT = LARGEST_BATCH - EXTRA  # bytes of UTF-8
LONGEST_SPAN = 24 * 3600 * 1000  # milliseconds


class LogEvent(msgspec.Struct, frozen=True, gc=False, rename={"time": "timestamp"}):
    """A log event as PutLogEvents takes it: a time in milliseconds since the epoch, and valid text."""

    time: int
    message: str


def split(events: Sequence[LogEvent]) -> Iterator[Sequence[LogEvent]]:
    """Yield batches of events that are in the order of time, each within every limit."""
    if _are_one(events):
        yield events
        return
    batch: list[LogEvent] = []
    room = LARGEST_BATCH
    for whole in events:
        for event in pieces(whole):
            size = _size(event.message) + EXTRA
            full = len(batch) == MOST_EVENTS or size > room
            if batch and (full or event.time - batch[0].time >= LONGEST_SPAN):
                yield batch
                batch, room = [], LARGEST_BATCH
            batch.append(event)
            room -= size
    if batch:
        yield batch


def cut(events: Sequence[LogEvent]) -> Sequence[LogEvent]:
    """Return events, those in pieces that are too large for one."""
    if _fit(events):
        return events
    return [piece for event in events for piece in pieces(event)]


def pieces(event: LogEvent) -> Iterator[LogEvent]:
    """Yield an event, in pieces where it is too large for one; no character is cut."""
    if _size(event.message) <= LARGEST_EVENT:
        yield event
        return
    text = event.message.encode()
    at = 0
    while at < len(text):
        end = min(at + LARGEST_EVENT, len(text))
        while end < len(text) and text[end] & 0xC0 == 0x80:  # within a character
            end -= 1
        yield LogEvent(event.time, text[at:end].decode())
        at = end


def _are_one(events: Sequence[LogEvent]) -> bool:
    """Whether events make one batch; what comes of a log mostly does, and to look at each one costs."""
    few = 0 < len(events) <= MOST_EVENTS
    return few and events[-1].time - events[0].time < LONGEST_SPAN and _fit(events)


def _fit(events: Sequence[LogEvent]) -> bool:
    return _size("".join([each.message for each in events])) + EXTRA * len(events) <= LARGEST_BATCH


def _size(text: str) -> int:
    """Return the bytes that a text takes in a batch."""
    return len(text) if text.isascii() else len(text.encode())

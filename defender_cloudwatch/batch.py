"""Batches: log events within the limits of PutLogEvents.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html: at most 1,048,576 bytes and
10,000 events a batch, 26 bytes more for each event, 24 hours between the first and the last, in the order of time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

LARGEST_BATCH, MOST_EVENTS, EXTRA = 1_048_576, 10_000, 26  # bytes, events, bytes an event
LARGEST_EVENT = LARGEST_BATCH - EXTRA  # bytes of UTF-8
LONGEST_SPAN = 24 * 3600 * 1000  # milliseconds


class LogEvent(NamedTuple):
    """A log event, at a time in milliseconds since the epoch."""

    time: int
    message: str

    @property
    def size(self) -> int:
        """The bytes that it takes in a batch."""
        message = self.message
        return (len(message) if message.isascii() else len(message.encode("utf-8", "surrogatepass"))) + EXTRA


def split(events: Iterable[LogEvent]) -> Iterator[list[LogEvent]]:
    """Yield batches of events that are in the order of time, each within every limit."""
    batch: list[LogEvent] = []
    room = LARGEST_BATCH
    for whole in events:
        for event in pieces(whole):
            size = event.size
            full = len(batch) == MOST_EVENTS or size > room
            if batch and (full or event.time - batch[0].time >= LONGEST_SPAN):
                yield batch
                batch, room = [], LARGEST_BATCH
            batch.append(event)
            room -= size
    if batch:
        yield batch


def pieces(event: LogEvent) -> Iterator[LogEvent]:
    """Yield an event, in pieces where it is too large for one; no character is cut."""
    if event.size <= LARGEST_BATCH:
        yield event
        return
    text = event.message.encode("utf-8", "surrogatepass")
    at = 0
    while at < len(text):
        end = min(at + LARGEST_EVENT, len(text))
        while end < len(text) and text[end] & 0xC0 == 0x80:  # within a character
            end -= 1
        yield LogEvent(event.time, text[at:end].decode("utf-8", "surrogatepass"))
        at = end

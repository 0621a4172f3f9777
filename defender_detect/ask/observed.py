"""What was observed: the metrics of many things' reports, from the store or from a recording, again and again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from defender_detect.metrics import Value, metric_values

if TYPE_CHECKING:
    from defender_detect.ask.replay import Recording
    from defender_detect.store.several import AnyReader


class Observed(NamedTuple):
    """A report as far as it is kept; `time` is in seconds since the epoch."""

    time: float
    thing: str
    values: Mapping[str, Value]


class Kept:
    """What Detect kept of some things from `start` until before `end`; a thing's reports are in their order."""

    def __init__(self, reader: AnyReader, start: float, end: float, things: Collection[str] | None = None) -> None:
        """Take the things, None for all."""
        self._reader, self._period, self._things = reader, (start, end), things

    def __iter__(self) -> Iterator[Observed]:
        for time, thing, values in self._reader.observed(*self._period):
            if self._things is None or thing in self._things:
                yield Observed(time, thing, values)


class Replayed:
    """The reports of some things in a recording that was read, in the order of their times."""

    def __init__(self, recording: Recording, things: Collection[str] | None = None) -> None:
        """Take the things, None for all."""
        self._recording, self._things = recording, things

    def __iter__(self) -> Iterator[Observed]:
        for each in self._recording:
            if self._things is None or each.thing in self._things:
                yield Observed(each.time, each.thing, metric_values(each.report))

"""What a page looks at: the store, the clock, the profiles in force, and from when on a thing is silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from defender_detect.console.axis import Axis, fit
from defender_detect.evaluate.detector import Rules
from defender_detect.store.fleet import AnySummaries
from defender_detect.store.summaries import Counts

HOUR, DAY = 3600.0, 86_400.0  # seconds
RANGES = {"1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "3d": 3 * DAY, "7d": 7 * DAY, "14d": 14 * DAY}  # as AWS keeps values
USUAL_RANGE = "24h"
SILENT_AFTER = 900.0  # seconds without a report: three times AWS's shortest interval
STALE_AFTER = 900.0  # seconds without a report of any thing: what is shown is the time until the last one
MARGIN = 1.0  # seconds after the last report


class Sight(NamedTuple):
    """What the pages are made of."""

    store: AnySummaries
    rules: Callable[[], Rules | None]
    silent_after: float = SILENT_AFTER
    clock: Callable[[], float] = time.time

    def look(self, chosen: str = "") -> Glance:
        """Look at the clock and at how many things there are; `chosen` is one of RANGES."""
        now = self.clock()
        counts = self.store.count(now - self.silent_after)
        is_stale = counts.latest is not None and now - counts.latest > STALE_AFTER
        shown = chosen if chosen in RANGES else USUAL_RANGE
        end = counts.latest + MARGIN if is_stale and counts.latest is not None else now
        return Glance(now, end, shown, counts, is_stale)


class Glance(NamedTuple):
    """When somebody looked, and what is the same on every page."""

    now: float
    end: float  # of what is shown, in seconds since the epoch
    range: str
    counts: Counts
    is_stale: bool  # no thing has reported for long, as when Detect does not run

    def axis(self, first: float | None) -> Axis:
        """Return the axis that fits what there is since a time."""
        return fit(self.end, RANGES[self.range], first)

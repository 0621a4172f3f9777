"""What Detect remembers of each thing: its last accepted report, for a bounded number of things."""

from __future__ import annotations

from collections import OrderedDict

from defender_detect.judge.verdict import Accepted, LastReport

CAPACITY = 1_000_000  # things, about 0.3 KB each; a broker without access control lets anyone make up names


class LastReports:
    """The last accepted report of the things that were heard of most recently."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._by_thing: OrderedDict[str, LastReport] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_thing)

    def find(self, thing: str) -> LastReport | None:
        """Return the thing's last accepted report, if it is still remembered."""
        return self._by_thing.get(thing)

    def remember(self, accepted: Accepted, accepted_at: float) -> None:
        """Remember an accepted report, and forget the thing that has been silent for longest if there are too many."""
        self.put(accepted.thing, LastReport(accepted.report_id, accepted_at))

    def put(self, thing: str, last: LastReport) -> None:
        """Remember a thing's last accepted report, and forget another thing's if there are too many."""
        self._by_thing[thing] = last
        self._by_thing.move_to_end(thing)
        while len(self._by_thing) > self._capacity:
            self._by_thing.popitem(last=False)

"""The window: the sockets of all looks that no accepted report holds yet, together."""

from __future__ import annotations

import threading

from defender_publisher.snapshot import Sockets


class Window:
    """Adds looks up until they are taken, or older than `span` seconds: Device Defender wants current metrics.

    Safe to use from the job that looks and the job that reports at once.
    """

    def __init__(self, span: float) -> None:
        self._span = span
        self._lock = threading.Lock()
        self._seen = Sockets()
        self._since: float | None = None
        self._taken_since: float | None = None

    @property
    def seen(self) -> Sockets:
        """Everything seen so far; a block that no look could collect is None."""
        return self._seen

    def add(self, sockets: Sockets, now: float) -> None:
        """Add one look, taken at `now` (seconds, of any clock that is always the same)."""
        with self._lock:
            if self._since is None or not 0 <= now - self._since <= self._span * 1.5:
                self._seen, self._since = sockets, now
            else:
                self._seen = self._seen.union(sockets)

    def take(self) -> Sockets:
        """Return everything seen so far for a report, and begin anew with the next look."""
        with self._lock:
            seen, self._seen = self._seen, Sockets()
            self._taken_since, self._since = self._since, None
        return seen

    def put_back(self, seen: Sockets) -> None:
        """Keep what was taken for the next report after all, together with what was seen in the meantime."""
        with self._lock:
            self._seen, self._since = seen.union(self._seen), self._taken_since

"""The window: the sockets of all looks since the last accepted report, together."""

from __future__ import annotations

import threading

from defender_publisher.snapshot import Sockets


class Window:
    """Adds looks up until it is cleared, or older than `span` seconds: Device Defender wants current metrics.

    Safe to use from the job that looks and the job that reports at once.
    """

    def __init__(self, span: float) -> None:
        self._span = span
        self._lock = threading.Lock()
        self._seen = Sockets()
        self._since: float | None = None

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

    def clear(self) -> None:
        """Begin anew with the next look."""
        with self._lock:
            self._seen, self._since = Sockets(), None

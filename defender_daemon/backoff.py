"""The back-off: how long a device waits until it connects again, so that a fleet does not do it all at once.

Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import random

FIRST, LAST = 2.0, 300.0  # seconds; the longest wait doubles from the one to the other
SHORTEST = 1.0  # seconds; AWS IoT takes one CONNECT per second and client ID
SHARE = 0.9  # of the interval at most, so that a device reports within one interval after the cure
FIRST_SHARE = 0.1  # of the interval at most until the first attempt: a site whose power is back starts all at once
STABLE_AFTER = 30.0  # seconds; a connection that is lost sooner counts as a failed one


class Backoff:
    """Counts what failed in a row; `interval` is that of the reports, in seconds.

    `attempts` failed since there was a connection; `failures` counts connections that did not last as well;
    `first_delay` is how many seconds to wait before the first attempt.
    """

    def __init__(self, interval: float = LAST, chance: random.Random | None = None) -> None:
        self.attempts = 0
        self.failures = 0
        self._longest = max(min(LAST, interval * SHARE), SHORTEST)
        self._chance = chance or random.Random()  # noqa: S311 - jitter, not a secret
        self.first_delay = self._chance.uniform(0.0, min(FIRST, interval * FIRST_SHARE))

    def failed(self) -> float:
        """Count a failed attempt; return the seconds to wait until the next."""
        self.attempts += 1
        self.failures += 1
        return self._wait(self.failures)

    def lost_after(self, seconds: float) -> float:
        """Count a connection that lasted so many seconds; return the seconds to wait until the next attempt."""
        self.failures = 0 if seconds >= STABLE_AFTER else self.failures + 1
        return self._wait(max(self.failures, 1))

    def connected(self) -> int:
        """Return how many attempts failed before this one; whether it lasts shows later."""
        failed, self.attempts = self.attempts, 0
        return failed

    def _wait(self, turn: int) -> float:
        longest = min(self._longest, FIRST * 2 ** min(turn - 1, 16))
        return SHORTEST + self._chance.uniform(0.0, max(longest - SHORTEST, 0.0))

"""The schedule: when a device reports, so that a fleet does not do it all at once and AWS does not throttle."""

from __future__ import annotations

import hashlib

from defender_daemon.config import Config
from defender_daemon.watchdog import PATIENCE

LONGEST_TURN = 60.0  # seconds that a turn may take by our own time-outs: name, TCP, TLS, CONNACK, two SUBACKs, verdict
FIRST_AFTER = 1.0  # seconds at least before the first report, over which cpu_usage is measured
FIRST_WITHIN = 10.0  # seconds; until then it goes out, spread by the device's phase
MARGIN = 1 / 300  # of the interval, so that 300 s become 301 s, as in AWS's C agents: faster than 300 is throttled
SLIDE = 1 / 10  # of the cycle: how much longer one turn may take while a device moves towards its phase


class Schedule:
    """A cycle a little longer than the interval, in which each thing has a phase of its own that never changes."""

    def __init__(self, thing_name: str, interval: float) -> None:
        self.interval = interval
        self.cycle = interval * (1 + MARGIN)
        digest = hashlib.sha256(thing_name.encode()).digest()
        self.phase = self.cycle * int.from_bytes(digest[:8], "big") / 2**64

    def first_delay(self, since_last: float | None) -> float:
        """Return the seconds from the start to the first report: soon, but an interval after the last one.

        `since_last` is how many seconds ago an earlier run sent its last report, None if it never did.
        """
        soon = FIRST_AFTER + min(FIRST_WITHIN - FIRST_AFTER, self.cycle / 10) * self.phase / self.cycle
        if since_last is None or since_last < 0:  # negative: the clock was set back in between
            return soon
        return max(soon, self.interval - since_last)

    def gap_after(self, sent_at: float) -> float:
        """Return the seconds from a report sent at `sent_at` (seconds since the epoch) to the next one.

        Never less than the interval. A device that is late by up to a tenth of the cycle takes turns a margin
        shorter, any other takes turns up to a tenth longer, until it is at its phase.
        """
        late = (sent_at - self.phase) % self.cycle
        if late < self.cycle * SLIDE:
            return self.cycle - min(late, self.cycle - self.interval)
        return self.cycle + min(self.cycle - late, self.cycle * SLIDE)


def patience_for(config: Config) -> float:
    """Return the seconds without progress after which something hangs: two intervals, or more if a turn may take it."""
    commands = sum(each.timeout for each in config.custom_metrics.values() if each.command)
    return max(float(PATIENCE * config.agent.publish_interval), LONGEST_TURN + commands)

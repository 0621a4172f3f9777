"""How large an engine must be: Kinesis Processing Units (KPU) for a number of things and how often they report.

A KPU is 1 vCPU and 4 GB. The rates are reports per second of CPU time, measured with ten behaviors a thing on a local
cluster of Flink (docs/explanation/how-large.md), not on AWS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

THREAD, PROCESS = "thread", "process"  # how PyFlink runs Python: inside the JVM, or beside it
RATES = {THREAD: 4_000, PROCESS: 510}  # the bar that thread mode is held to; process mode with Flink's defaults
SHARE = 0.6  # of a KPU that is planned for, so that what waited during a restart can be made up for
COORDINATOR = 1  # KPU that AWS charges for each application besides
QUOTA = 64  # KPU of an application, which AWS raises when asked


@dataclass(frozen=True)
class Size:
    """What a fleet needs of an engine."""

    things: int
    interval: float  # seconds between two reports of a thing
    mode: str

    @property
    def rate(self) -> float:
        """Reports a second."""
        return self.things / self.interval

    @property
    def parallelism(self) -> int:
        """Workers, each on a KPU of its own: threads of one process share Python's lock."""
        return max(1, math.ceil(self.rate / (RATES[self.mode] * SHARE)))

    @property
    def units(self) -> int:
        """KPU that AWS charges for, all the time."""
        return self.parallelism + COORDINATOR

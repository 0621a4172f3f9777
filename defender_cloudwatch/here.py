"""The machine that this program runs on."""

from __future__ import annotations

import sys

from defender_cloudwatch.machine import Machine


def this_machine(proc: str = "/proc") -> Machine:
    """Return what measures here: on Linux /proc, elsewhere psutil, which takes two megabytes."""
    if sys.platform.startswith("linux"):
        from defender_cloudwatch import procfs

        return procfs.machine(proc)
    from defender_cloudwatch import elsewhere

    return elsewhere.machine()

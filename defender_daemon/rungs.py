"""Rungs that every doctor on a device climbs: the certificate's dates, the clock, the state directory."""

from __future__ import annotations

import os

from defender_daemon import files
from defender_daemon.certificate import CHECK_CLOCK, problem_of_dates, validity
from defender_daemon.dates import date_text, minute_text
from defender_daemon.ladder import Doubted, Failed

# No clock that is right can show a day before this release was made; a Raspberry Pi without one starts in 1970.
RELEASE_DAY = 1_793_491_200  # seconds since the epoch: 2026-11-01
DAY = 86_400  # seconds


def dates(certificate: str, now: float) -> str:
    """See that the certificate is valid now, and for how long."""
    problem = problem_of_dates(certificate, now)
    if problem is not None:
        raise Failed(*problem)
    found = validity(certificate)
    return "unknown (this Python does not say)" if found is None else remaining(found[1], now)


def remaining(end: float, now: float) -> str:
    """Say how long something is valid that ends at `end`."""
    days = int((end - now) // DAY)
    left = f"{days} days" if days > 1 else f"{(end - now) / 3600:.0f} hours"
    return f"for {left} more, until {minute_text(end)}"


def clock(now: float) -> str:
    """See that the clock shows no time in which this cannot be; the network is not asked."""
    shown = date_text(now)
    if now < RELEASE_DAY:
        raise Doubted(f"this device's clock says {shown}, which is before this program was made", CHECK_CLOCK)
    return shown


def state_directory(directory: str) -> str:
    """See that the daemon can keep what must outlive a restart; it works also where it cannot."""
    problem = files.writing_problem(directory)
    if problem is not None:
        raise Doubted(*problem)
    return directory if os.path.isdir(directory) else f"{directory}, which is made when it is needed"

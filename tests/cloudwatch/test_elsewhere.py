"""Where there is no /proc, psutil finds the same."""

from __future__ import annotations

import sys

import psutil
import pytest

from defender_cloudwatch import elsewhere
from defender_cloudwatch.here import this_machine


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_psutil_finds_the_same() -> None:
    ours, theirs = this_machine(), elsewhere.machine()
    assert set(theirs.disks()) == set(ours.disks())
    assert set(theirs.interfaces()) == set(ours.interfaces())
    assert theirs.memory().total == ours.memory().total == psutil.virtual_memory().total
    assert theirs.swap().total == ours.swap().total
    before, between, after = theirs.interfaces(), ours.interfaces(), theirs.interfaces()
    for name in before.keys() & between.keys() & after.keys():
        assert all(low <= seen <= high for low, seen, high in zip(before[name], between[name], after[name]))
    before, between, after = theirs.disks(), ours.disks(), theirs.disks()
    for name in before.keys() & between.keys() & after.keys():
        assert all(low <= seen <= high for low, seen, high in zip(before[name], between[name], after[name]))

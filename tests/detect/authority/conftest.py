"""What the tests of the authority share: a disk that need not be waited for."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _disk_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no disk: hundreds of runs that are stopped would wait for it thousands of times."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)

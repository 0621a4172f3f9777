"""The machine is measured by what it has: /proc on Linux, psutil elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from defender_cloudwatch.here import this_machine


def test_on_linux_it_is_the_proc_that_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 400 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n")
    assert 1024 * 1000 == this_machine(str(tmp_path)).memory().total


def test_elsewhere_it_is_psutil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("defender_cloudwatch.elsewhere.machine", lambda: "by psutil")
    assert "by psutil" == this_machine(str(tmp_path))  # type: ignore[comparison-overlap]

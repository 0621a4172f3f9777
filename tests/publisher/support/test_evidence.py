"""Each file of evidence, and what stands in its place where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from defender_publisher.doctor import mqtt, network
from defender_publisher.doctor.case import Case
from defender_publisher.support import evidence

WriteConfig = Callable[..., Path]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "ALERT_WITHIN", 0.1)
    monkeypatch.setattr(mqtt, "FIRST_GROWTH", 0.1)


def test_a_file_of_evidence_that_breaks_leaves_a_gap_and_says_why(
    write_config: WriteConfig, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(packages: object) -> Iterator[str]:
        raise OSError("no /proc")

    monkeypatch.setattr(evidence, "surroundings", broken)
    assert b"not available: OSError: no /proc\n" == evidence.collect(Case(write_config(free_port), {}))["platform.txt"]

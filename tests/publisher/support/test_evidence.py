"""Each file of evidence, and what stands in its place where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from defender_publisher.doctor.case import Case
from defender_publisher.support import bundle as bundle_module
from defender_publisher.support import evidence
from tests.publisher.support.test_bundle import content_of

WriteConfig = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("momentary")


def test_without_a_log_file_the_journal_is_asked_and_where_there_is_none_it_says_where_logs_go(
    write_config: WriteConfig, free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    list(bundle_module.write(tmp_path / "b.tar", Case(write_config(free_port), {})))
    assert "standard error of whoever started" in content_of(tmp_path / "b.tar")["log.txt"]
    journal = tmp_path / "journalctl"
    journal.write_text('#!/bin/sh\nprintf "caf\\351 $*\\n"\n')  # a byte that is no UTF-8, as a program may log it
    journal.chmod(0o755)
    list(bundle_module.write(tmp_path / "b.tar", Case(write_config(free_port), {})))
    assert "--unit amazon-defender-publisher" in content_of(tmp_path / "b.tar")["log.txt"]


def test_a_file_of_evidence_that_breaks_leaves_a_gap_and_says_why(
    write_config: WriteConfig, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(packages: object) -> Iterator[str]:
        raise OSError("no /proc")

    monkeypatch.setattr(evidence, "surroundings", broken)
    assert b"not available: OSError: no /proc\n" == evidence.collect(Case(write_config(free_port), {}))["platform.txt"]

"""The status is a file of metrics that Prometheus's node_exporter can collect, whole, and without what is not known."""

from __future__ import annotations

import logging
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from defender_publisher.state import State
from defender_publisher.status_file import StatusFile
from defender_publisher.textfile import escaped
from tests.publisher.test_status_file import settings_in

SAMPLE = re.compile(r'amazon_defender_publisher_(\w+)\{thing="t"(?:,(\w+="[^"]*"))?\} (\S+)')


def values(path: Path) -> dict[str, float]:
    found = (SAMPLE.fullmatch(line) for line in path.read_text().splitlines() if not line.startswith("#"))
    return {" ".join(filter(None, (each[1], each[2]))): float(each[3]) for each in found if each is not None}


def test_what_becomes_of_reports_and_the_connection_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "defender.prom"
    status = StatusFile(settings_in(tmp_path, textfile=str(path)), state=State("t"))
    found = values(path)
    assert (0, 0) == (found["connected"], found['reports_total outcome="accepted"'])
    assert "last_accepted_time_seconds" not in found  # and not 0
    assert 0o644 == stat.S_IMODE(path.stat().st_mode)
    status.connected()
    status.reported(1, "accepted", 0.1)
    status.reported(2, "rejected: Throttled")
    status.failed()
    found = values(path)
    counts = [found[f'reports_total outcome="{each}"'] for each in ("accepted", "rejected", "failed")]
    assert (1, [1, 1, 1]) == (found["connected"], counts)
    assert found["last_accepted_time_seconds"] >= found["start_time_seconds"] - 1
    assert [path] == list(tmp_path.iterdir())


def test_prometheus_reads_it_without_a_complaint(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    path = tmp_path / "defender.prom"
    StatusFile(settings_in(tmp_path, textfile=str(path))).reported(1, "accepted", 0.1)
    done = subprocess.run([promtool, "check", "metrics"], input=path.read_bytes(), capture_output=True)
    assert (0, b"") == (done.returncode, done.stderr)


def test_a_place_that_cannot_be_written_is_said_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        status = StatusFile(settings_in(tmp_path, textfile=str(tmp_path / "no" / "defender.prom")))
        status.connected()
        status.reported(1, "accepted", 0.1)
    assert 1 == caplog.text.count("agent.textfile: ")
    (tmp_path / "no").mkdir()
    status.failed()
    assert (tmp_path / "no" / "defender.prom").exists()


@pytest.mark.parametrize(("text", "expected"), [("rpi-1", "rpi-1"), ('a"b\\c\nd', 'a\\"b\\\\c\\nd')])
def test_a_labels_value_is_escaped(text: str, expected: str) -> None:
    assert expected == escaped(text)

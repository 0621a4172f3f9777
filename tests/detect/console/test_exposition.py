"""Prometheus reads what Detect counted, by the names that CloudWatch gives to violations."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from defender_detect.console.exposition import braces, expose
from defender_detect.store.store import Store
from tests.detect.console.conftest import NOW, Open, sight_of
from tests.detect.store.test_store import event

PROMTOOL = shutil.which("promtool")


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """A state directory with one of everything that is counted."""
    with Store(tmp_path, interval=3600, clock=lambda: NOW) as store:
        for number in range(3):
            store.add(f"t{number}", NOW - 1000 * number, {"n": 1}, [event(thing=f"t{number}")], report_id=1)
        store.flush()
        store.add("t0", NOW, {}, [event("alarm-cleared", "t0", value=5), event("alarm-invalidated", "t9")])
        store.count("accepted", 4)
        store.count("evaluation-seconds", 0.25)
        store.count("rejected", labels=("Throttled",))
        store.count("alerts-dropped", 2, ('a \\ "sink"\nof two lines',))
        store.set_level("alerts-waiting", 7, ("sink",))
        store.flush()
    return tmp_path


def test_everything_that_is_counted_is_there(counted: Path) -> None:
    lines = expose(sight_of(counted)).splitlines()
    labels = '{security_profile="cpu-usage",behavior="cpu"}'
    for line in (
        f"defender_detect_violations_total{labels} 3",
        f"defender_detect_violations_cleared_total{labels} 1",
        f"defender_detect_violations_invalidated_total{labels} 1",
        f"defender_detect_active_violations{labels} 2",
        "defender_detect_things 3",
        "defender_detect_things_in_alarm 2",
        "defender_detect_things_silent 2",
        "defender_detect_reports_accepted_total 4",
        'defender_detect_reports_rejected_total{code="Throttled"} 1',
        "defender_detect_evaluation_seconds_total 0.25",
        'defender_detect_alerts_waiting{sink="sink"} 7',
        'defender_detect_alerts_dropped_total{sink="a \\\\ \\"sink\\"\\nof two lines"} 2',
        f"defender_detect_last_report_timestamp_seconds {NOW:.0f}",
    ):
        assert line in lines
    assert "# EOF" == lines[-1]
    assert 1 == sum(line.startswith("defender_detect_store_bytes ") for line in lines)


def test_a_metric_without_labels_has_no_braces() -> None:
    assert "" == braces((), ())


def test_the_type_is_that_of_openmetrics(counted: Path, open_console: Open) -> None:
    console = open_console(counted)
    answer = console.get("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"})
    assert "application/openmetrics-text; version=1.0.0; charset=utf-8" == answer.headers["content-type"]
    assert answer.text.endswith("# EOF\n")
    plain = console.get("/metrics")
    assert "text/plain; version=0.0.4; charset=utf-8" == plain.headers["content-type"]
    assert "# EOF" not in plain.text


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_finds_nothing_wrong(counted: Path) -> None:
    text = expose(sight_of(counted), is_open=False)
    done = subprocess.run([PROMTOOL or "", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)

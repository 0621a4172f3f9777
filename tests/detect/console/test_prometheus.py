"""Debian's Prometheus scrapes the console, and what we ship for it and for Grafana speaks of metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from defender_detect.console.exposition import expose
from defender_detect.store.store import Store
from tests.detect.console.conftest import sight_of
from tests.detect.console.test_server import ROOT, console
from tests.detect.store.test_store import event
from tests.waiting import wait_until

SHIPPED = ROOT / "configs" / "prometheus"
PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
NAME = re.compile(r"\bdefender_detect_\w+")


@pytest.fixture
def running(tmp_path: Path) -> Path:
    """The state directory of a Detect that has counted something of everything."""
    with Store(tmp_path / "state", interval=3600) as store:
        store.add("t0", time.time(), {"n": 1}, [event(thing="t0", time=time.time())], report_id=1)
        for name in ("accepted", "evaluation-seconds"):
            store.count(name, 3)
        store.count("rejected", labels=("Throttled",))
        for name in ("alerts-sent", "alerts-failed", "alerts-dropped"):
            store.count(name, labels=("sink",))
        store.set_level("alerts-waiting", 1, ("sink",))
        store.flush()
    return tmp_path / "state"


def test_what_is_shipped_speaks_of_metrics_that_there_are(running: Path) -> None:
    there = set(NAME.findall(expose(sight_of(running))))
    for file in SHIPPED.iterdir():
        wanted = set(NAME.findall(file.read_text()))
        assert wanted
        assert set() == wanted - there, file.name


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    dashboard = json.loads((SHIPPED / "detect-dashboard.json").read_text())
    assert {"title", "uid", "schemaVersion", "panels", "templating"} <= set(dashboard)
    places = [each["id"] for each in dashboard["panels"]]
    assert sorted(set(places)) == places
    assert all(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_the_rules_are_valid() -> None:
    command = [PROMTOOL or "", "check", "rules", str(SHIPPED / "detect-alerts.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, True) == (done.returncode, "SUCCESS" in done.stdout), done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")
def test_prometheus_scrapes_the_console_and_its_rules_fire(running: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("the-token-of-prometheus")
    token.chmod(0o600)
    settings = {
        "agent": {"state_directory": str(running)},
        "detect": {"console": {"port": 0, "token_file": str(token)}},
    }
    (tmp_path / "detect.json").write_text(json.dumps(settings))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with console(tmp_path / "detect.json") as (_, host, console_port, printed):
        assert "" == printed  # the token is in its file
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(SHIPPED / "detect-alerts.yml")],
            "scrape_configs": [
                {
                    "job_name": "detect",
                    "authorization": {"credentials_file": str(token)},
                    "static_configs": [{"targets": [f"{host}:{console_port}"]}],
                }
            ],
        }
        (tmp_path / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML
        command = [
            PROMETHEUS or "",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as prometheus:
            try:
                ask = f"http://127.0.0.1:{port}/api/v1/query?query="
                assert wait_until(lambda: "1" == value(f"{ask}up"))
                assert wait_until(lambda: "1" == value(f"{ask}defender_detect_violations_total"))
                assert "3" == value(f"{ask}defender_detect_reports_accepted_total")
                firing = f'{ask}ALERTS{{alertname="DefenderDetectAlarm",alertstate="firing"}}'.replace('"', "%22")
                assert wait_until(lambda: "1" == value(firing))
            finally:
                prometheus.kill()


def value(address: str) -> str | None:
    """The value of a query with one result; None as long as there is none."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            result = json.load(answer)["data"]["result"]
    except OSError:
        return None
    return str(result[0]["value"][1]) if len(result) == 1 else None

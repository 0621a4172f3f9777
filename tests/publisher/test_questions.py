"""What the program answers once and ends: a dry run, a check, one report."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from defender_publisher import questions
from tests.fakes.scripted_broker import ScriptedBroker
from tests.publisher.conftest import MOMENT
from tests.publisher.test_script import PUBLISHER, one_sentence
from tests.quick import quick
from tests.waiting import PATIENCE, wait_until

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_dry_run_prints_a_report_and_nothing_else(run: Run) -> None:
    done = run("--dry-run")
    report = json.loads(done.stdout)
    assert (0, "") == (done.returncode, done.stderr)
    assert {"header", "metrics"} == set(report)
    assert {"listening_tcp_ports", "listening_udp_ports", "tcp_connections", "network_stats"} == set(report["metrics"])


def test_a_dry_run_shows_this_machines_own_ports_and_connections(ask: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0]:
            metrics = json.loads(ask("--dry-run").stdout)["metrics"]
            here = client.getsockname()[1]
    assert {"port": port, "interface": "lo"} in metrics["listening_tcp_ports"]["ports"]
    connections = metrics["tcp_connections"]["established_connections"]["connections"]
    expected = {"remote_addr": f"127.0.0.1:{port}", "local_port": here, "local_interface": "lo"}
    assert expected in connections


def test_a_dry_run_takes_as_many_samples_as_it_is_told(ask: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(MOMENT)  # over which cpu_usage is measured

    waits: list[float] = []
    monkeypatch.setattr(questions, "time", SimpleNamespace(sleep=sleep))
    done = ask("--dry-run", "--samples", 3, "--interval", 7, "-s", "-cm")
    text, reports, decoder = done.stdout.strip(), [], json.JSONDecoder()
    while text:
        report, end = decoder.raw_decode(text)
        reports.append(report)
        text = text[end:].lstrip()
    assert [{"hed", "met", "cmet"}] * 3 == [set(report) for report in reports]
    ids = [report["hed"]["rid"] for report in reports]
    assert sorted(set(ids)) == ids
    assert [7, 7] == waits[1:]


def test_a_dry_run_of_a_configuration_needs_no_credentials(ask: Run, write_config: Callable[..., Path]) -> None:
    path = write_config(1, authentication={"endpoint": "nowhere.invalid"}, format="cbor", short_names=True)
    done = ask("--dry-run", path)
    assert {"hed", "met", "cmet"} == set(json.loads(done.stdout))


def test_a_dry_run_in_the_configuration_prints_until_it_is_stopped(
    write_config: Callable[..., Path], start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start(*quick(write_config(1, dry_run=True, publish_interval=1)))
    assert process.stdout is not None
    printed = 0
    while printed < 2:
        line = process.stdout.readline()
        assert line, "it ended by itself"
        printed += '"report_id"' in line
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert 0 == process.returncode
    assert not (tmp_path / "state").exists()  # what was not sent must not move the baseline


def test_check_config_prints_every_value_and_where_it_came_from(ask: Run, write_config: Callable[..., Path]) -> None:
    done = ask("--check-config", write_config(8883), "-f", "cbor")
    assert (0, "") == (done.returncode, done.stderr)
    lines = done.stdout.splitlines()
    assert "thing name = rpi-0001" in lines
    assert 'agent.format = "cbor" (command line)' in lines
    assert "agent.publish_interval = 1 (file)" in lines
    assert "agent.short_names = false (default)" in lines
    assert "custom_metrics.cpu_usage = number, the built-in cpu_usage (file)" in lines


def test_check_config_changes_nothing(ask: Run, write_config: Callable[..., Path], tmp_path: Path) -> None:
    path = write_config(8883, logfile=str(tmp_path / "logs" / "a.log"))
    before = sorted(tmp_path.rglob("*"))
    assert 0 == ask("--check-config", path).returncode
    assert before == sorted(tmp_path.rglob("*"))


def test_once_prints_the_verdict(ask: Run, write_config: Callable[..., Path], broker: ScriptedBroker) -> None:
    done = ask("--once", write_config(broker.port))
    assert 0 == done.returncode
    assert re.match(r"accepted after \d+\.\d", done.stdout)


def test_once_fails_when_the_report_is_rejected(
    ask: Run, write_config: Callable[..., Path], broker: ScriptedBroker
) -> None:
    from tests.fakes.scripted_broker import reject

    broker.script.answer = reject("InvalidPayload", "Malformed")
    done = ask("--once", write_config(broker.port))
    assert 1 == done.returncode
    assert done.stderr.splitlines()[-1].endswith("rejected: InvalidPayload: Malformed")


def test_once_takes_throttled_by_a_report_from_before_for_a_proof(
    ask: Run, write_config: Callable[..., Path], broker: ScriptedBroker
) -> None:
    """It was installed again, or the card is new: nothing is kept of the report that went out just before."""
    from tests.fakes.scripted_broker import reject

    broker.script.answer = reject("Throttled", "Too soon")
    path = write_config(broker.port)
    done = ask("--once", path)
    assert 0 == done.returncode
    assert re.search(r"report \d+ throttled: the connection works.*accepted from \d\d:\d\d:\d\d on", done.stdout)
    state = json.loads((path.parent / "state" / "state.json").read_text())
    state["published_at"] -= 400  # so that this device's own last report is no reason
    (path.parent / "state" / "state.json").write_text(json.dumps(state))
    done = ask("--once", path)
    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr.splitlines()[-1].endswith("rejected: Throttled: Too soon")


WITHOUT = """
import runpy, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("AWSIoTPythonSDK", "timeloop", "cbor2"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
from defender_publisher import questions
questions.FIRST_GROWTH = 0.05
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_dry_run_needs_no_more_than_it_uses() -> None:
    command = [sys.executable, "-c", WITHOUT, str(PUBLISHER)]
    done = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    done = subprocess.run([*command, "--dry-run", "-f", "cbor"], capture_output=True, text=True, check=False)
    assert "the Python package cbor2 is missing" in one_sentence(done)


def test_the_status_tells_health_by_its_exit_status(
    ask: Run, write_config: Callable[..., Path], start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    path = write_config(1)
    never = ask("--status", path)
    assert 3 == never.returncode
    assert [
        f"not running: no daemon has written a status into {tmp_path / 'state'}",
        "next step      amazon-defender-publisher doctor",
    ] == never.stdout.splitlines()
    daemon = start(sys.executable, PUBLISHER, path)
    assert wait_until((tmp_path / "state" / "status.json").exists)
    late = ask("--status", "--json", path)
    assert 1 == late.returncode
    assert ("late", daemon.pid) == (json.loads(late.stdout)["health"], json.loads(late.stdout)["status"]["pid"])
    daemon.send_signal(signal.SIGTERM)
    daemon.wait(PATIENCE)
    assert 3 == ask("--status", path).returncode


def test_the_status_needs_no_right_to_read_the_key(ask: Run, write_config: Callable[..., Path]) -> None:
    path = write_config(1)
    config = json.loads(path.read_text())
    Path(config["agent"]["authentication"]["private_key"]).unlink()
    assert 3 == ask("--status", path).returncode

"""An alert target costs one file and one row, as CONTRIBUTING.md says; a package adds its own by an entry point."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt")

from tests.detect.test_script import run_here
from tests.recipes import code_of, copy_checkout

ROOT = Path(__file__).resolve().parents[3]
OURS = "log, topic, webhook, command, sns, email, ntfy, apprise, alertmanager, home_assistant"
PATIENCE = 60  # seconds
SENDS = """
import sys
from pathlib import Path
from defender_detect.config_file import read_config
from defender_detect.audience import make_alerts
from tests.detect.store.test_store import event
alerts = make_alerts(read_config(Path(sys.argv[1]), {}), print)
alerts.tell(event())
alerts.close(60)
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Install = Callable[..., None]


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A syslog server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(PATIENCE)
        yield receiver


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Install a package of one module, as pip does."""

    def install(package: str, source: str, **points: str) -> None:
        site = tmp_path / "site"
        information = site / f"{package}-1.0.dist-info"
        information.mkdir(parents=True)
        (site / f"{package}.py").write_text(source)
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (information / "entry_points.txt").write_text("\n".join(["[defender_detect.alerts]", *lines, ""]))

    return install


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run Detect's check, or other code, with a configuration of alerts, where the packages are installed."""

    def run(*alerts: object, code: str | None = None, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
        config = tmp_path / "detect.json"
        config.write_text(json.dumps({"detect": {"alerts": alerts}}))
        asked = ["-c", code, config] if code else [root / "amazon-defender-detect", "--check-config", config]
        environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}:{root}:{ROOT}"}
        command = list(map(str, [sys.executable, "-B", *asked]))
        return subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, env=environment, cwd=root, check=False
        )

    return run


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run Detect's check in this process, with a configuration of alerts, where the packages are installed."""
    (tmp_path / "site").mkdir(exist_ok=True)
    monkeypatch.syspath_prepend(tmp_path / "site")
    before = {*sys.modules}

    def check(*alerts: object) -> subprocess.CompletedProcess[str]:
        config = tmp_path / "detect.json"
        config.write_text(json.dumps({"detect": {"alerts": alerts}}))
        return run_here("--check-config", str(config))

    yield check
    for package in {"ours", "theirs"} & ({*sys.modules} - before):
        del sys.modules[package]


def syslog(server: socket.socket) -> dict[str, object]:
    return {"type": "syslog", "host": "127.0.0.1", "port": server.getsockname()[1]}


def heard_by(server: socket.socket) -> object:
    return json.loads(server.recv(10_000).removeprefix(b"<116>"))["thingName"]


def test_a_target_of_ones_own_costs_one_file_and_one_row(tmp_path: Path, server: socket.socket, run: Run) -> None:
    packages = ("defender_daemon", "defender_detect", "device_defender")
    checkout = copy_checkout(tmp_path / "checkout", *packages, "amazon-defender-detect")
    alerts = checkout / "defender_detect" / "alerts"
    (module,) = code_of("An alert target")
    (alerts / "syslog.py").write_text(module)  # the file
    rows = (alerts / "targets.py").read_text()
    rows = rows.replace("\nTARGETS", "\nfrom defender_detect.alerts.syslog import Syslog\nTARGETS", 1)
    (alerts / "targets.py").write_text(
        rows.replace("    HomeAssistant,\n)", "    HomeAssistant,\n    Syslog,\n)", 1)
    )  # the row
    done = run(syslog(server), code=SENDS, root=checkout)
    assert (0, "rpi-1") == (done.returncode, heard_by(server)), done.stderr
    assert f"type must be one of {OURS}, syslog, got" in run({"type": "x"}, root=checkout).stderr
    rule = "detect.alerts[0].port must be a whole number from 1 to 65535, got 0"
    assert rule in run({**syslog(server), "port": 0}, root=checkout).stderr


def test_a_package_adds_a_target_by_an_entry_point(server: socket.socket, install: Install, run: Run) -> None:
    install("ours", code_of("An alert target")[0], syslog="ours:Syslog")
    done = run({"type": "log"}, syslog(server), code=SENDS)
    assert (0, "rpi-1") == (done.returncode, heard_by(server)), done.stderr
    assert "--endpoint is missing" in run(syslog(server)).stderr  # and nothing about alerts


def test_what_is_wrong_with_a_packages_target_is_said_with_its_place(install: Install, check: Run) -> None:
    install("ours", code_of("An alert target")[0], syslog="ours:Syslog")
    done = check({"type": "syslog", "hots": "x"}, {"type": "log", "x": 1}, {"type": "syslok"})
    assert 78 == done.returncode
    assert [
        'detect.alerts[0].hots is not a known key; did you mean "host"?',
        "detect.alerts[1].x is not a known key",
        f'detect.alerts[2].type must be one of {OURS}, syslog, got "syslok"; did you mean "syslog"?',
    ] == [line.partition("detect.json: ")[2] for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import nowhere", "cannot be loaded: ModuleNotFoundError: No module named 'nowhere'"),
        ("raise OSError('no\\nbus')", "cannot be loaded: OSError: no bus"),
        ("Syslog = 7", "must be a subclass of Target whose tag is syslog"),
        (
            "from defender_detect.alerts.target import Target\nclass Syslog(Target, tag='other'): pass",
            "must be a subclass of Target whose tag is syslog",
        ),
    ],
)
def test_a_package_whose_target_cannot_be_used_is_named(
    source: str, expected: str, install: Install, check: Run
) -> None:
    install("ours", source, syslog="ours:Syslog")
    done = check({"type": "syslog"})
    assert (78, 1) == (done.returncode, done.stderr.count("\n"))
    assert re.search(rf"detect\.json: ours:Syslog( of the package ours)? {re.escape(expected)}$", done.stderr.strip())
    assert "--endpoint is missing" in check({"type": "log"}).stderr  # it harms nobody who does not name it


def test_two_packages_with_one_target_are_both_named(install: Install, check: Run) -> None:
    install("ours", code_of("An alert target")[0], syslog="ours:Syslog")
    install("theirs", code_of("An alert target")[0], syslog="theirs:Syslog")
    done = check({"type": "syslog"})
    assert re.search(r"ours:Syslog.* and .*theirs:Syslog.* the type syslog: uninstall one", done.stderr)


def test_a_type_of_ours_is_never_a_packages(install: Install, check: Run) -> None:
    install("ours", "raise OSError", log="ours:Log")
    assert "--endpoint is missing" in check({"type": "log"}).stderr

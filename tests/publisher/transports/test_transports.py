"""Each method of the configuration is a module that says all there is to say of it; nobody else asks which it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path

import pytest

from defender_daemon.config import Authentication
from defender_publisher import transports
from defender_publisher.doctor.examination import RUNGS
from defender_publisher.mqtt import MqttTransport
from defender_publisher.settings import read_settings
from defender_publisher.transports.console import Console
from tests.conftest import PUBLISHER
from tests.quick import ONCE, quick
from tests.recipes import code_of, copy_checkout, insert

PACKAGE = Path(transports.__file__).parent.parent
METHODS = typing.get_args(typing.get_type_hints(Authentication)["method"])
MEMBERS = [name for name in vars(transports.Method) if not name.startswith("_")]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_module_of_its_name_that_answers_every_question(name: str) -> None:
    method = transports.method_of(Authentication(method=name))
    assert [] == [member for member in MEMBERS if not hasattr(method, member)]
    assert method.unneeded <= {rung.name for rung in RUNGS}
    here = Path(__file__).parent
    assert (here / f"test_{name}.py").exists() or (here.parent / name).is_dir()


def test_nobody_asks_which_method_it_is() -> None:
    asking = re.compile(r"\.method\s*(==|!=|in\b|not\b)|\bmutual\s*[=:]|[\"']websocket[\"']")
    found = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if asking.search(path.read_text())}
    assert {"overrides.py"} == found - {"transports/websocket.py"}


def test_one_function_opens_what_the_configuration_names(write_config: Callable[..., Path]) -> None:
    assert isinstance(transports.open_transport(read_settings(write_config(8883), {})), MqttTransport)
    dry = read_settings(None, {"agent": {"dry_run": True}})
    assert isinstance(transports.open_transport(dry), Console)


@pytest.mark.parametrize("name", ["certificate", "websocket"])
def test_a_transport_tells_the_largest_report_that_it_can_carry(name: str, write_config: Callable[..., Path]) -> None:
    endpoint = {"endpoint": "a1-ats.iot.eu-west-1.amazonaws.com", "method": name, "port": None}
    settings = read_settings(write_config(443), {"agent": {"authentication": endpoint}})
    assert 128 * 1024 == transports.open_transport(settings).largest_report


def test_a_transport_costs_one_file_and_one_name(tmp_path: Path) -> None:
    """As CONTRIBUTING.md says."""
    packages = ("device_defender", "defender_daemon", "defender_publisher")
    checkout = copy_checkout(tmp_path / "checkout", *packages, PUBLISHER.name)
    (module,) = code_of("A transport")
    (checkout / "defender_publisher" / "transports" / "spool.py").write_text(module)
    insert(checkout / "defender_daemon" / "config.py", '"websocket"] = "certificate"\n', '"spool", ')
    agent = {"thing_name": "pi-1", "authentication": {"method": "spool"}, "state_directory": str(tmp_path)}
    (tmp_path / "config.json").write_text(json.dumps({"agent": agent}))
    program, config = checkout / PUBLISHER.name, tmp_path / "config.json"
    once = quick(config, "--once", constants=ONCE, program=program)
    done = subprocess.run(once, capture_output=True, text=True, timeout=60)
    assert 0 == done.returncode, done.stderr
    assert "sent (nobody answers): " in done.stderr
    (report,) = tmp_path.glob("*.report")
    assert {"header", "metrics"} <= json.loads(report.read_text()).keys()
    done = subprocess.run(
        [sys.executable, program, config, "--doctor", "--json"], capture_output=True, text=True, timeout=60
    )
    verdicts = {each["rung"]: each["verdict"] for each in json.loads(done.stdout)["rungs"]}
    assert ("ok", "not tried", "not tried") == (verdicts["key and certificate"], verdicts["TCP"], verdicts["TLS"])

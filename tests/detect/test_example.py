"""The example configuration of Detect: it is valid, and its alarms go where its groups and profiles say."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from defender_detect.attachments import read_rules
from defender_detect.audience import make_alerts
from defender_detect.config_file import read_config
from demo.authority import Authority

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIGS = ROOT / "configs"
EXAMPLE = CONFIGS / "amazon-defender-detect.json"


def test_the_example_is_taken_where_its_certificates_are(tmp_path: Path, authority: Authority) -> None:
    shutil.copytree(CONFIGS, tmp_path / "configs")
    config = tmp_path / "configs" / EXAMPLE.name
    issue(json.loads(config.read_text())["agent"]["authentication"], authority, config.parent)
    command = [sys.executable, str(ROOT / "amazon-defender-detect"), "--check-config", str(config)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (0, "") == (result.returncode, result.stderr)
    assert "network-baseline: 8 behaviors, for all\ncpu-usage: 1 behavior" in result.stdout


def test_only_a_gateway_has_the_second_profile() -> None:
    rules = read_rules(read_config(EXAMPLE, {}))
    metrics = {thing: {rule.metric for rule in rules.of(thing).rules} for thing in ("gateway-0001", "rpi-0001")}
    assert "cpu_usage" in metrics["gateway-0001"]
    assert metrics["gateway-0001"] - metrics["rpi-0001"] == {"cpu_usage"}


def test_the_example_names_alerts_that_can_be_made() -> None:
    alerts = make_alerts(read_config(EXAMPLE, {}), lambda topic, payload: None)
    assert 2 == len(alerts.queues)
    alerts.close()


def issue(paths: dict[str, str], authority: Authority, directory: Path) -> None:
    """Put an authority's certificate, and one for Detect, where a configuration names them."""
    files = authority.issue("detect-example")
    sources = {"root_ca": authority.certificate, "certificate": files.certificate, "private_key": files.private_key}
    for key, source in sources.items():
        shutil.copy(source, directory / paths[key])

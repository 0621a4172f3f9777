"""AWS's own agent from PyPI reports to Detect and its built-in broker, in JSON and in CBOR, for a minute."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt")
pytest.importorskip("cryptography")

from demo.authority import Authority
from tests.detect.judge.test_agents import AGENT, ROOT

INTERVAL = 5.0  # seconds between two reports of an agent
MINUTE = 60.0
PATIENCE = 60.0  # seconds for a program to start on a machine that is busy
FEWEST = 3  # reports of each agent in a minute, however busy the machine is; a dozen are due
READY = re.compile(r"is ready on \S+?:(\d+)")
VERDICT = re.compile(r" agent-(json|cbor): report \d+ of \d+ bytes (accepted|rejected.*)")
# The agent as it is, but for the port, which it has no option for.
PROGRAM = """
import sys
from awsiot import mqtt_connection_builder as builder
from AWSIoTDeviceDefenderAgentSDK import agent
connect, port = builder.mtls_from_path, int(sys.argv.pop(1))
builder.mtls_from_path = lambda **options: connect(port=port, **options)
agent.main()
"""


def start_agent(authority: Authority, port: int, form: str) -> subprocess.Popen[str]:
    """Start the agent for a thing of its own."""
    files = authority.issue(f"agent-{form}")
    options = {"-e": "localhost", "-r": authority.certificate, "-c": files.certificate, "-k": files.private_key,
               "-id": f"agent-{form}", "-f": form, "-i": INTERVAL}  # fmt: skip
    arguments = [str(part) for pair in options.items() for part in pair]
    command = [str(AGENT), "-u", "-c", PROGRAM, str(port), *arguments, "--custom-metrics"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not AGENT.exists(), reason="AWS's agent is not installed (tests/install-agent.sh)")
@pytest.mark.skipif(sys.version_info < (3, 10), reason="amqtt needs Python 3.10 or later")
def test_awss_own_agent_reports_for_a_minute_without_a_rejection(authority: Authority, tmp_path: Path) -> None:
    files, log = authority.issue("detect", ["localhost", "127.0.0.1"]), tmp_path / "detect.log"
    command = [sys.executable, str(ROOT / "amazon-defender-detect"), "--embedded-broker", "--port", "0", "--debug",
               "--minimum-interval", "1", "--root-ca", str(authority.certificate), "--certificate",
               str(files.certificate), "--private-key", str(files.private_key)]  # fmt: skip
    programs = [subprocess.Popen(command, stderr=log.open("w"))]
    try:
        deadline = time.monotonic() + PATIENCE
        while not (ready := READY.search(log.read_text())) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert ready, log.read_text()
        programs += [start_agent(authority, int(ready[1]), form) for form in ("json", "cbor")]
        deadline = time.monotonic() + MINUTE
        while time.monotonic() < deadline and all(program.poll() is None for program in programs):
            time.sleep(1)
        assert [None] * 3 == [program.poll() for program in programs], log.read_text()
    finally:
        for program in programs:
            program.kill()
            program.wait()
    verdicts = Counter(VERDICT.findall(log.read_text()))
    assert {("json", "accepted"), ("cbor", "accepted")} == set(verdicts)
    assert min(verdicts.values()) >= FEWEST, verdicts
    assert "left out" not in log.read_text()

"""Detect accepts what other agents report: recorded reports of each, and those of AWS's own, made here and now."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from defender_detect.judge.topics import ReportTopic
from defender_detect.judge.verdict import Accepted, judge
from defender_detect.metrics import metric_values

ROOT = Path(__file__).resolve().parent.parent.parent.parent
AGENT = ROOT / ".venv" / "agent" / "bin" / "python"  # made by tests/install-agent.sh
FOLDER = Path(__file__).parent / "agents"
REPORTS = sorted(path.name for path in FOLDER.glob("*.json")) + sorted(path.name for path in FOLDER.glob("*.cbor"))
DESTINATIONS = {
    "aws-agent-python": ("127.0.0.1", "::ffff:127.0.0.1", "::ffff:192.0.2.33", "2001:db8:85a3::8a2e:370:7334", "::1",
                         "fe80::1%wlan0"),
    "aws-agent-c": ("198.51.100.7", "192.0.2.33"),
    "aws-iot-device-client": ("198.51.100.7", "203.0.113.250"),
    "embedded-c-demo": ("198.51.100.7", "192.0.2.33"),
    "embedded-c-demo-short": ("198.51.100.7",),
    "freertos-defender-3": ("198.51.100.7",),
    "rustot": ("198.51.100.7",),
}  # fmt: skip
TCP_PORTS = {
    "aws-agent-python": (22, 631, 8080),
    "aws-agent-c": (22, 631),
    "aws-iot-device-client": (631, 22),
    "embedded-c-demo": (631, 22),
    "embedded-c-demo-short": (631, 22),
    "rustot": (80,),
}
CUSTOM = {
    "aws-agent-python": {"cpu_usage": 17.4},
    "aws-iot-device-client": {
        "cpu_usage": 0.30000000000000004, "memory_usage": 1842184, "processor_count": 4,
        "CustomNumberList": (101, 102, 103), "CustomStringList": ("One Fish", "Two Fish"),
        "CustomIPList": ("192.0.2.0", "198.51.100.0", "203.0.113.0", "233.252.0.0"),
    },
    "embedded-c-demo": {"cpu-usage": (5684, 21990),
                        "memory-info": ("MemTotal:  8000412 kB", "MemAvailable:  6012008 kB")},
    "embedded-c-demo-short": {"stack_high_water_mark": 1812, "task_numbers": (1, 2, 3)},
    "rustot": {"Battery_Level": 85, "Wifi_Signal_dBm": -62},
    "rustot-custom-only": {
        "MyMetricOfType_Number": 1, "MyMetricOfType_NumberList": (1, 2, 3),
        "MyMetricOfType_StringList": ("value_1", "value_2"), "MyMetricOfType_IpList": ("172.0.0.0", "172.0.0.10"),
    },
}  # fmt: skip


def accept(payload: bytes, encoding: str) -> dict[str, Any]:
    """Return the metrics of a report that has to be accepted, whole."""
    verdict = judge(ReportTopic("thing", encoding), payload, 1_800_000_000.0)
    assert isinstance(verdict, Accepted), verdict
    assert verdict.left_out == ()
    return metric_values(verdict.report)


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_of_another_agent_is_accepted_whole(name: str) -> None:
    values = accept((FOLDER / name).read_bytes(), Path(name).suffix[1:])
    agent = Path(name).stem
    agent = "aws-agent-python" if agent == "aws-agent-python-short" else agent
    assert DESTINATIONS.get(agent) == values.get("aws:destination-ip-addresses")
    assert TCP_PORTS.get(agent) == values.get("aws:listening-tcp-ports")
    assert CUSTOM.get(agent, {}) == {name: value for name, value in values.items() if not name.startswith("aws:")}


REAL = """
import json, socket, sys
from AWSIoTDeviceDefenderAgentSDK.collector import Collector
server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
port = server.getsockname()[1]
sockets = [socket.create_connection((host, port)) for host in ("127.0.0.1", "::1")]
sockets += [server.accept()[0] for _ in sockets]
for short in (False, True):
    collector = Collector(short_metrics_names=short, use_custom_metrics=True)
    metrics = [collector.collect_metrics()]
    if not short:  # with short names this release fails at its second report
        metrics.append(collector.collect_metrics())
    for each in metrics:
        each.max_list_size = None
        print(json.dumps([port, each.to_json_string(), each.to_cbor().hex()]))
"""


@pytest.mark.skipif(not AGENT.exists(), reason="AWS's agent is not installed (tests/install-agent.sh)")
def test_the_reports_of_awss_own_agent_are_accepted_whole() -> None:
    """The agent of PyPI looks at this machine, on which a dual-stack socket has connections of both kinds."""
    done = subprocess.run([str(AGENT), "-c", REAL], capture_output=True, text=True, timeout=60, check=True)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert 3 == len(reports)
    for port, in_json, in_cbor in reports:
        for values in (accept(in_json.encode(), "json"), accept(bytes.fromhex(in_cbor), "cbor")):
            assert port in values["aws:listening-tcp-ports"]
            assert {"::ffff:127.0.0.1", "::1"} <= set(values["aws:destination-ip-addresses"])
            assert 0 <= values["cpu_usage"] <= 100

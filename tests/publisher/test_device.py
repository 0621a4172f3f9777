"""This device: what a look needs to hold, and what is not loaded to look."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from defender_daemon.collected import Connections, CustomMetric, Metrics
from defender_daemon.config import Agent, Config
from defender_publisher.collectors.custom import CustomMetrics
from defender_publisher.collectors.sockets import SocketCollector
from defender_publisher.device import SHORTEST_CONNECTION, ThisDevice, most_connections
from defender_publisher.encoding import encode
from defender_publisher.snapshot import Sockets

ROOT = Path(__file__).resolve().parent.parent.parent


def connections(form: str, short_names: bool, count: int) -> int:
    entries = [{"remote_addr": "[::1]:1", "local_port": 1}] * count
    report = {"metrics": {"tcp_connections": {"established_connections": {"connections": entries}}}}
    return len(encode(report, form, short_names))


@pytest.mark.parametrize(("form", "short_names"), SHORTEST_CONNECTION)
def test_no_connection_takes_less_than_the_shortest(form: str, short_names: bool) -> None:
    each = connections(form, short_names, 20) - connections(form, short_names, 19)
    assert SHORTEST_CONNECTION[form, short_names] == each


@pytest.mark.parametrize(
    ("agent", "metrics", "expected"),
    [
        ({}, {}, 128 * 1024 // 41),
        ({}, {"max_list_size": 100}, 100),
        ({}, {"max_list_size": 10**6}, 128 * 1024 // 41),
        ({}, {"max_list_size": 100, "tcp_connections": Connections(max_list_size=7)}, 7),
        ({"format": "cbor", "short_names": True}, {}, 128 * 1024 // 17),
        ({"metrics_collection_interval": 300}, {"max_list_size": 100}, 100),
        ({"metrics_collection_interval": 10}, {"max_list_size": 100}, None),
        ({}, {"max_list_size": 100, "tcp_connections": Connections(exclude_loopback=True)}, None),
        ({}, {"max_list_size": 100, "tcp_connections": Connections(interface=False)}, None),
        ({}, {"max_list_size": 100, "tcp_connections": Connections(local_port=False)}, None),
    ],
)
def test_a_look_holds_no_more_connections_than_can_be_listed_unless_they_have_to_be_told_apart(
    agent: dict[str, object], metrics: dict[str, object], expected: int | None
) -> None:
    assert expected == most_connections(Config(agent=Agent(**agent), metrics=Metrics(**metrics)))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems are read by psutil")
def test_linux_is_looked_at_without_loading_psutil() -> None:
    code = (
        "import sys\n"
        "from defender_daemon.config import Config\n"
        "from defender_publisher.device import ThisDevice\n"
        "device = ThisDevice(Config()); device.snapshot(device.look())\n"
        "print('psutil' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "False" == done.stdout.strip()


def test_a_bug_in_what_holds_the_collectors_together_costs_what_they_collect_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise KeyError("a bug")

    for collector in (SocketCollector, CustomMetrics):
        monkeypatch.setattr(collector, "collect", fail)
    device = ThisDevice(Config())
    snapshot = device.snapshot(device.look())
    assert (Sockets(), {}) == (snapshot.sockets, snapshot.custom_metrics)
    assert snapshot.interfaces
    assert "sockets left out of the report, unexpectedly" in caplog.text
    assert "custom metrics left out of the report, unexpectedly" in caplog.text


TABLES = ("tcp", "tcp6", "udp", "udp6", "dev", "igmp", "dev_mcast", "if_inet6", "fib_trie", "route")
OF_THE_MACHINE = ("stat", "meminfo", "vmstat", "uptime", "sys/fs/file-nr", "sys/kernel/random/boot_id")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have no /proc")
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["FIFO", "device"])
def test_a_proc_full_of_what_is_no_file_is_said_and_never_waited_for(
    tmp_path: Path, make: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    for path in [tmp_path / "1" / "net" / name for name in TABLES] + [tmp_path / name for name in OF_THE_MACHINE]:
        path.parent.mkdir(parents=True, exist_ok=True)
        make(path)
    reading = ("cpu_usage", "memory_usage", "swap_usage", "uptime", "open_file_count", "interface_addresses")
    config = Config(agent=Agent(procfs_path=str(tmp_path)), custom_metrics={name: CustomMetric() for name in reading})
    device = ThisDevice(config)
    snapshot = device.snapshot(device.look())
    assert (Sockets(), None, None, {}) == (
        snapshot.sockets, snapshot.interfaces, snapshot.boot_id, snapshot.custom_metrics
    )  # fmt: skip
    said = "\n".join(record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert caplog.text.count("left out of the report: cannot read") == caplog.text.count("left out of the report")
    for name in (*reading, "network_stats", "listening_udp_ports"):
        assert f"{name} left out of the report: cannot read {tmp_path}" in said

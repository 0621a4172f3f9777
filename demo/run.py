"""The demo: an authority, a broker with mutual TLS and Detect on loopback, and this machine as the device."""

from __future__ import annotations

import argparse
import contextlib
import json
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any

from demo.authority import Authority

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / ".demo"
THING = "this-machine"
INTERVAL = 5  # seconds between two reports; AWS takes one per 300
SHOWN = 20  # entries of a list in the report that is shown
DEBUG = " : DEBUG : "
REPORT = re.compile(r"report (\d+): (\{.*\})")
ACCEPTED = re.compile(r"report (\d+) accepted")
READY = re.compile(r"is ready on \S+?:(\d+)")
READY_TIMEOUT = 30.0  # seconds


def main(argv: list[str] | None = None) -> int:
    """Run Detect and the publisher until Ctrl-C, or for a number of seconds; 0 if a report was accepted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, help="stop after so many seconds (default: at Ctrl-C)")
    seconds = parser.parse_args(argv).seconds
    signal.signal(signal.SIGTERM, _interrupt)
    authority = Authority(DIRECTORY / "authority")
    say(f"a throw-away certificate authority is in {DIRECTORY.relative_to(ROOT)}/authority")
    accepted: list[str] = []
    with contextlib.suppress(KeyboardInterrupt), detect(authority) as port, publisher(authority, port, accepted):
        say(f"stops after {seconds:g} s" if seconds else "stops at Ctrl-C")
        time.sleep(seconds) if seconds else signal.pause()
    say(f"{len(accepted)} reports of this machine were accepted" if accepted else "no report was accepted")
    say("the same on standard output, without a broker: ./amazon-defender-publisher --dry-run")
    return 0 if accepted else 1


def say(text: str) -> None:
    """Print a line of the demo's own."""
    show("demo", text)


@contextlib.contextmanager
def detect(authority: Authority) -> Iterator[int]:
    """Run amazon-defender-detect with its embedded broker on a free port of loopback; yield the port."""
    files = authority.issue("broker", ["localhost", "127.0.0.1"])
    command = [
        "amazon-defender-detect", "--embedded-broker", "--port", "0", "--minimum-interval", str(INTERVAL),
        "--root-ca", authority.certificate, "--certificate", files.certificate, "--private-key", files.private_key,
    ]  # fmt: skip
    ready: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def hear(line: str | None) -> None:
        if line is None or READY.search(line):
            ready.put(line)
        if line is not None:
            show("detect", line)

    with program(command, hear):
        line = ready.get(timeout=READY_TIMEOUT)
        if line is None:
            raise SystemExit("demo: amazon-defender-detect did not start; its last words are above")
        yield int(READY.search(line)[1])  # type: ignore[index]


@contextlib.contextmanager
def publisher(authority: Authority, port: int, accepted: list[str]) -> Iterator[None]:
    """Run amazon-defender-publisher for this machine against the broker on `port`; collect accepted ids."""
    config = write_config(authority, port)
    say(f"the publisher's configuration is {config.relative_to(ROOT)}")
    contents: dict[str, str] = {}

    def hear(line: str | None) -> None:
        if line is None:
            return
        contents.update(REPORT.findall(line))
        if DEBUG not in line:
            show("publisher", line)
        for report_id in ACCEPTED.findall(line):
            accepted.append(report_id)
            if len(accepted) == 2:  # the first has no growth yet
                show_report(json.loads(contents[report_id]))

    with program(["amazon-defender-publisher", config], hear):
        yield


def write_config(authority: Authority, port: int) -> Path:
    """Write a configuration like a device's, with short intervals."""
    files = authority.issue(THING)
    config = {
        "$schema": "../configs/schema.json",
        "agent": {
            "thing_name": THING,
            "authentication": {
                "endpoint": "localhost",
                "port": port,
                "certificate": str(files.certificate),
                "private_key": str(files.private_key),
                "root_ca": str(authority.certificate),
            },
            "publish_interval": INTERVAL,
            "allow_short_interval": True,
            "metrics_collection_interval": 1,
            "state_directory": "state",
            "debug": True,
        },
        "custom_metrics": {"cpu_usage": {}, "memory_usage": {}, "uptime": {}},
    }
    path = DIRECTORY / "publisher.json"
    path.write_text(json.dumps(config, indent=2) + "\n")
    return path


def show_report(report: dict[str, Any]) -> None:
    """Print what a report holds, so that it can be compared with what `ss -tuan` shows."""
    metrics = report["metrics"]
    connections = metrics["tcp_connections"]["established_connections"]
    say(f"that report, {report['header']['report_id']}, held (compare with `ss -tuan`):")
    for block in ("listening_tcp_ports", "listening_udp_ports"):
        ports = [f"{each['port']} on {each.get('interface', '?')}" for each in metrics[block]["ports"]]
        say(f"  {block}: {shortened(ports)}")
    remote = [f"{each.get('local_port')} to {each['remote_addr']}" for each in connections["connections"]]
    say(f"  tcp_connections: {shortened(remote)}")
    say(f"  network_stats: {metrics.get('network_stats')}")
    say(f"  custom_metrics: {report.get('custom_metrics')}")


def shortened(entries: list[str]) -> str:
    """Return a list's first entries on one line."""
    more = f", and {len(entries) - SHOWN} more" if len(entries) > SHOWN else ""
    return (", ".join(entries[:SHOWN]) or "none") + more


@contextlib.contextmanager
def program(command: Sequence[object], hear: Callable[[str | None], None]) -> Iterator[None]:
    """Run one of the two scripts; `hear` is called with each line it says, and with None at the end."""
    script, *arguments = map(str, command)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C is for the demo, which ends its programs in order
    )
    listener = threading.Thread(target=listen, args=(process.stdout, hear), daemon=True)
    listener.start()
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)
        listener.join(2)


def listen(stream: IO[str], hear: Callable[[str | None], None]) -> None:
    """Hand a program's lines on."""
    for line in stream:
        hear(line.rstrip())
    hear(None)


def show(name: str, line: str) -> None:
    """Print a program's line with its name before it."""
    print(f"{name:9} | {line}", flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

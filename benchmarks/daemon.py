"""The whole daemon beside the whole reference agent: start-up, memory with a live TLS connection, wake-ups, bytes.

Run in a new network namespace (`unshare --net python -m benchmarks.daemon`): the reference agent knows port 443 alone.
Prints the measurements as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.scene import run
from defender_publisher.encoding import encode
from demo.authority import Authority, Files

ROOT = Path(__file__).resolve().parent.parent
PUBLISHER, DETECT = ROOT / "amazon-defender-publisher", ROOT / "amazon-defender-detect"
ENVIRONMENTS = ROOT / ".venv" / "bench"  # each agent in an environment with its own packages and no others
OURS = str(ENVIRONMENTS / "ours" / "bin" / "python")
REFERENCE = [str(ENVIRONMENTS / "reference" / "bin" / "python"), "-m", "AWSIoTDeviceDefenderAgentSDK.agent"]
SETTLED_AFTER = 20.0  # seconds; both have sent a report by then, or are about to wait for the next
ENTRIES = 50  # of each list in a capped report


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=9)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds over which wake-ups are counted")
    arguments = parser.parse_args()
    run("ip", "link", "set", "lo", "up")
    with tempfile.TemporaryDirectory() as directory:
        authority = Authority(Path(directory))
        with contextlib.ExitStack() as stack:
            start_broker(stack, authority, Path(directory))
            ours = start_ours(stack, authority, Path(directory))
            theirs = start_reference(stack, authority)
            time.sleep(SETTLED_AFTER)
            memory = {"ours": memory_of(ours), "reference": memory_of(theirs)}
            wakeups = {"ours": count_wakeups(ours, arguments.idle), "reference": count_wakeups(theirs, arguments.idle)}
    print(json.dumps({"start": start_up(arguments.starts), "memory": memory, "wakeups": wakeups, "bytes": sizes()}))


def start(stack: contextlib.ExitStack, command: list[str], **environment: str) -> int:
    """Start a program that is ended with the stack; return its process id."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process.pid


def start_broker(stack: contextlib.ExitStack, authority: Authority, directory: Path) -> None:
    """Start mosquitto on the agents' default ports, 443 (the reference's) and 8883 (ours), and Detect that answers."""
    server, detect = authority.issue("mosquitto", ["localhost", "127.0.0.1"]), authority.issue("detect")
    config = directory / "mosquitto.conf"
    listeners = (
        f"listener {port} 127.0.0.1\ncafile {authority.certificate}\ncertfile {server.certificate}\n"
        f"keyfile {server.private_key}\nrequire_certificate true\nuse_identity_as_username true\n"
        for port in (443, 8883)
    )
    config.write_text("per_listener_settings true\nuser root\n" + "".join(listeners))
    mosquitto = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
    start(stack, [str(mosquitto), "-c", str(config)])
    time.sleep(2)
    start(stack, [sys.executable, str(DETECT), "--endpoint", "localhost", *pem_options(authority, detect)])
    time.sleep(2)


def pem_options(authority: Authority, files: Files) -> list[str]:
    """Return Detect's options for its files."""
    return [
        "--root-ca", str(authority.certificate), "--certificate", str(files.certificate),
        "--private-key", str(files.private_key),
    ]  # fmt: skip


def start_ours(stack: contextlib.ExitStack, authority: Authority, directory: Path) -> int:
    """Start this project's daemon with the reference agent's options, and one arena as in its unit; return its id."""
    command = [OURS, str(PUBLISHER), *agent_options(authority, "ours")]
    return start(stack, command, STATE_DIRECTORY=str(directory / "state"), MALLOC_ARENA_MAX="1")


def start_reference(stack: contextlib.ExitStack, authority: Authority) -> int:
    """Start the reference agent; return its process id."""
    return start(stack, [*REFERENCE, *agent_options(authority, "reference")])


def agent_options(authority: Authority, thing: str) -> list[str]:
    """Return the options that both agents know."""
    files = authority.issue(thing)
    return [
        "-e", "localhost", "-r", str(authority.certificate), "-c", str(files.certificate), "-k", str(files.private_key),
        "-id", thing, "-f", "json", "-i", "300", "-cm",
    ]  # fmt: skip


def memory_of(pid: int) -> dict[str, float]:
    """Return resident and unshared memory in MB, after making sure that the process has its connection."""
    process = psutil.Process(pid)
    connections = [each for each in process.net_connections("tcp") if each.status == psutil.CONN_ESTABLISHED]
    if not connections:
        raise SystemExit(f"process {pid} has no connection")
    full = process.memory_full_info()
    return {"rss": full.rss / 1e6, "uss": full.uss / 1e6}


def count_wakeups(pid: int, seconds: float) -> float:
    """Return how often all threads of a process together went to sleep, per minute."""
    before = voluntary_switches(pid)
    time.sleep(seconds)
    return (voluntary_switches(pid) - before) * 60 / seconds


def voluntary_switches(pid: int) -> int:
    """Return how often the threads of a process gave up the processor by themselves."""
    texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    found = [re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", text) for text in texts]
    return sum(int(match[1]) for match in found if match)


def start_up(times: int) -> dict[str, float]:
    """Return the CPU seconds from the start to the first printed report: the median, taking turns."""
    options = ["-e", "x", "-r", "x", "-c", "x", "-k", "x", "-id", "x", "-f", "json", "-d"]
    commands = {"ours": [OURS, str(PUBLISHER), "--dry-run", "-t", "x"], "reference": [*REFERENCE, *options]}
    costs: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(times):
        for name, command in commands.items():
            costs[name].append(cpu_to_first_report(command))
    return {name: statistics.median(values) for name, values in costs.items()}


def cpu_to_first_report(command: list[str]) -> float:
    """Run a program until it has printed a whole JSON object; return its CPU seconds."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=unbuffered())
    assert process.stdout is not None
    for line in process.stdout:
        if line.rstrip() == "}":
            break
    process.kill()
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return usage.ru_utime + usage.ru_stime


def unbuffered() -> dict[str, str]:
    """Return an environment in which Python prints at once."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


def sizes() -> dict[str, int]:
    """Return the bytes of one capped report in the four encodings."""
    ports = [{"port": 1024 + 37 * number, "interface": "eth0"} for number in range(ENTRIES)]
    connections = [
        {"remote_addr": f"203.0.113.{number}:443", "local_port": 32768 + 11 * number, "local_interface": "eth0"}
        for number in range(ENTRIES)
    ]
    report = {
        "header": {"report_id": 1763690000, "version": "1.0"},
        "metrics": {
            "listening_tcp_ports": {"ports": ports, "total": ENTRIES},
            "listening_udp_ports": {"ports": ports[:10], "total": 10},
            "tcp_connections": {"established_connections": {"connections": connections, "total": 12345}},
            "network_stats": {"bytes_in": 1234567, "bytes_out": 234567, "packets_in": 2345, "packets_out": 1234},
        },
        "custom_metrics": {"cpu_usage": [{"number": 12.5}]},
    }
    return {
        f"{form}, {'short' if short else 'long'}": len(encode(report, form, short))
        for form in ("json", "cbor")
        for short in (False, True)
    }


if __name__ == "__main__":
    main()

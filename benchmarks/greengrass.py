"""The benchmark of the Greengrass component: start, memory, import, an outage, many connections, on a double.

With `--upstream DIRECTORY`, a checkout of https://github.com/aws-greengrass/aws-greengrass-device-defender, AWS's own
component runs beside ours; without it a small program does the same with AWS's SDK (`benchmarks.greengrass_peer`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.run import RESULTS, describe_bars, replace_section
from defender_publisher.greengrass.session import largest_report
from defender_publisher.snapshot import Counters
from tests.fakes.host import Host, growth_of
from tests.fakes.nucleus import JAVA_LIMIT, LITE_LIMIT, TOKEN, Nucleus

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "amazon-defender-publisher"
ENVIRONMENTS = ROOT / ".venv" / "bench"  # each program in an environment with its own packages and no others
OURS, THEIRS = (str(ENVIRONMENTS / name / "bin" / "python") for name in ("ours", "greengrass"))
HEADING = "## Greengrass"
THING = "core-1"
TOPIC = f"$aws/things/{THING}/defender/metrics/json"
ROUNDS = 3  # of start, memory and import; medians count
SETTLED_AFTER = 15.0  # seconds after the first report
PATIENCE = 120.0  # seconds
INTERVAL, OUTAGE = 5, 10  # seconds; intervals without AWS IoT
LONGEST_WAIT = INTERVAL * 1.9  # seconds: an interval and the longest back-off
PAIRS = 5_000  # of sockets, whose both ends are connections
IMPORT = """\
import time
before = time.process_time()
import defender_publisher.greengrass.ipc
print(time.process_time() - before)"""
METHOD = """\
Written by `make bench-greengrass`. A double of the nucleus on a Unix socket, with Device Defender behind it. Memory is
private (USS), 15 s after the first report, in 10^6 bytes, with reports every 300 s; the components take turns, {rounds}
each, and medians count. Beside ours: {peer}. The import is CPU time of
`defender_publisher.greengrass.ipc` with all that it imports, in a fresh Python. In the outage AWS IoT is away for
{outage} intervals of {interval} s, and the host's counters are the benchmark's. The connections are {pairs:,} pairs of
sockets on loopback, on nucleus lite's frames."""

Bar = tuple[str, str, str, bool]


class Taken(NamedTuple):
    """What a component took."""

    start: float  # seconds until its first report was there
    uss: float  # MB, private


def main() -> int:
    """Run the benchmark; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", type=Path, metavar="DIRECTORY", help="a checkout of AWS's own component")
    arguments = parser.parse_args()
    subprocess.run([OURS, "-m", "compileall", "-q", *map(str, ROOT.glob("de*_*"))], check=True)
    bars = list(measure_all(arguments.upstream))
    print("\n".join(describe_bars(bars)))
    peer = "AWS's own component" if arguments.upstream else "a program that does the same as AWS's, by AWS's SDK"
    method = METHOD.format(peer=peer, rounds=ROUNDS, outage=OUTAGE, interval=INTERVAL, pairs=PAIRS)
    section = "\n".join([HEADING, "", method, "", *describe_surroundings(), *describe_bars(bars)])
    RESULTS.write_text(replace_section(RESULTS.read_text(), HEADING, section))
    return 0 if all(met for *_, met in bars) else 1


def describe_surroundings() -> Iterator[str]:
    """Say on what and beside how much else this was measured."""
    yield f"* {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    yield f"* load average of the machine at the end: {os.getloadavg()[0]:.2f}"


def measure_all(upstream: Path | None) -> Iterator[Bar]:
    """Yield each bar's name, demand, measured value, and whether it is met."""
    taken = [(take(OURS, ours()), take(THEIRS, theirs(upstream))) for _ in range(ROUNDS)]
    start = max(mine.start for mine, _ in taken)
    yield "report accepted after the start, s", "<= 15", f"{start:.1f} (the slowest of {ROUNDS})", start <= 15
    mine, peer = (statistics.median(each[who].uss for each in taken) for who in (0, 1))
    shown = f"{mine / peer:.2f} ({mine:.1f} of {peer:.1f} MB)"
    yield "private memory over AWS's component", "<= 0.85", shown, mine / peer <= 0.85
    cpu = statistics.median(import_client() for _ in range(ROUNDS))
    yield "CPU to import the client, s", "<= 0.02", f"{cpu:.3f}", cpu <= 0.02
    yield from outlast()
    yield lose_token()
    yield connect_many()


def ours() -> list[str]:
    """Return the arguments of our component."""
    return [str(PROGRAM), "--greengrass"]


def theirs(upstream: Path | None) -> list[str]:
    """Return the arguments of AWS's component, or of what does the same."""
    return [str(upstream / "run_agent.py")] if upstream else [str(ROOT / "benchmarks" / "greengrass_peer.py")]


@contextlib.contextmanager
def scene(limit: int) -> Iterator[tuple[Nucleus, Path]]:
    """Run a double of the nucleus; yield it and a directory."""
    with tempfile.TemporaryDirectory() as name:
        nucleus = Nucleus(Path(name) / "ipc.socket", limit=limit)
        try:
            yield nucleus, Path(name)
        finally:
            nucleus.stop()


@contextlib.contextmanager
def component(nucleus: Nucleus, directory: Path, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a component as the nucleus starts it, with its log in a file."""
    environment = {
        **os.environ,
        "AWS_IOT_THING_NAME": THING,
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": nucleus.path,
        "SVCUID": TOKEN,
        "STATE_DIRECTORY": str(directory / "state"),
    }
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=directory)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def take(python: str, arguments: list[str]) -> Taken:
    """Return what a component takes that reports every 300 s."""
    with scene(JAVA_LIMIT) as (nucleus, directory), component(nucleus, directory, [python, *arguments]) as process:
        begun = time.monotonic()
        wait_for(lambda: nucleus.published, directory)
        if "--greengrass" in arguments:
            wait_for(lambda: "accepted after" in (directory / "log").read_text(), directory)
        start = time.monotonic() - begun
        time.sleep(SETTLED_AFTER)
        return Taken(start, psutil.Process(process.pid).memory_full_info().uss / 1e6)


def import_client() -> float:
    """Return the CPU seconds to import the client in a fresh Python."""
    done = subprocess.run([OURS, "-c", IMPORT], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return float(done.stdout)


def outlast() -> Iterator[Bar]:
    """Yield whether a component outlasts AWS IoT's absence, when it reports after it, and what that report holds."""
    with scene(LITE_LIMIT) as (nucleus, directory):
        host = Host(directory)
        soon = {"publish_interval": INTERVAL, "allow_short_interval": True}
        nucleus.configuration.update(host.parameters, agent=soon)
        with component(nucleus, directory, [OURS, *ours()]) as process:
            wait_for(lambda: nucleus.published, directory)
            nucleus.online = False
            nucleus.hang_up()
            reports = len(nucleus.published)
            for interval in range(1, OUTAGE + 1):
                host.count(Counters(1000 + 70_000 * interval, 500, 10 + 50 * interval, 5))
                time.sleep(INTERVAL)
            nucleus.online, begun = True, time.monotonic()
            wait_for(lambda: len(nucleus.published) > reports, directory)
            waited, same = time.monotonic() - begun, process.poll() is None
    growth = growth_of(nucleus.published[reports][1])
    name = f"AWS IoT away for {OUTAGE} intervals"
    yield f"{name}: the same process", "yes", "yes" if same else "no", same
    yield f"{name}: next report after, s", f"<= {LONGEST_WAIT}", f"{waited:.1f}", waited <= LONGEST_WAIT
    exact = growth == Counters(70_000 * OUTAGE, 0, 50 * OUTAGE, 0)
    yield f"{name}: growth", "exact", "exact" if exact else str(growth), exact


def lose_token() -> Bar:
    """Return how soon a component ends whose token a restarted nucleus does not know, and with what status."""
    with scene(LITE_LIMIT) as (nucleus, directory), component(nucleus, directory, [OURS, *ours()]) as process:
        wait_for(lambda: nucleus.published, directory)
        nucleus.tokens, begun = {"of the next start"}, time.monotonic()
        nucleus.hang_up()
        status = process.wait(PATIENCE)
        seconds = time.monotonic() - begun
    shown = f"status {status} after {seconds:.1f} s"
    return "token refused", "75 within 60 s", shown, status == 75 and seconds <= 60


def connect_many() -> Bar:
    """Return what becomes of a report of 10,000 connections on nucleus lite."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with contextlib.ExitStack() as stack, scene(LITE_LIMIT) as (nucleus, directory):
        open_pairs(stack)
        with component(nucleus, directory, [OURS, *ours(), "--once"]) as process:
            status = process.wait(PATIENCE)
        (((_, payload),), log) = nucleus.published, (directory / "log").read_text()
    found = json.loads(payload)["met"]["tc"]["ec"]
    met = status == 0 and "accepted" in log and found["t"] >= 2 * PAIRS and len(payload) <= largest_report(TOPIC)
    shown = f"{'accepted' if status == 0 else log}: {len(found['cs'])} of {found['t']:,}, {len(payload):,} bytes"
    return "10,000 connections on nucleus lite", f"accepted, sampled, in {largest_report(TOPIC):,} bytes", shown, met


def open_pairs(stack: contextlib.ExitStack) -> None:
    """Connect sockets of this process with each other."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
    for _ in range(PAIRS):
        stack.enter_context(socket.create_connection(listener.getsockname()))
        stack.enter_context(listener.accept()[0])


def wait_for(condition: Callable[[], object], directory: Path) -> None:
    """Wait until something holds; end with the component's log if it does not."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"a component did not report:\n{(directory / 'log').read_text()}")
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main())

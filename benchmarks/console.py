"""The benchmark of the console: how long its pages take with 10,000 things and 14 days, and how much memory it takes.

The real Detector makes the store (`benchmarks.history`, a quarter of an hour); `--store DIRECTORY` takes one that is
there. What a page takes of a processor is measured beside, which holds on a busy machine as well.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import boto3
import psutil

from benchmarks.history import PROFILES, make_history
from benchmarks.run import RESULTS, describe_bars, replace_section
from defender_detect.evaluate.alarms import IN_ALARM, Event
from defender_detect.store.store import Store
from defender_detect.store.summaries import Choice, Summaries

ROOT = Path(__file__).resolve().parent.parent
HEADING = "## The console"
THINGS, DAYS = 10_000, 14.0
ROUNDS = 40  # of all pages, in turns; the first two do not count
NOW, VIOLATIONS, CALLS = 1_800_000_000.0, 10_000, 500  # of the API
MOST_MEMORY = 60.0  # MB, resident
BARS = {"overview": 150.0, "things": 250.0, "thing": 150.0, "alarms": 50.0}  # milliseconds, of 95 in 100 answers
METHOD = f"""\
Written by `make bench-console`. {THINGS:,} things and {DAYS:g} days in a store that the real Detector and Store wrote:
a hundred things report every 300 s all the time, the others every hour, and on the last day every 300 s. One client
asks for all pages in turns, {ROUNDS} times, whole answers over one connection. A thing's page is that of one with an
alarm, over 24 h and over 14 d; processor time is the console's own."""


class Answer(NamedTuple):
    """How long a page took, and how large it was."""

    milliseconds: float
    busy: float  # milliseconds of a processor
    size: int


def main() -> int:
    """Run the benchmark; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", type=Path, metavar="DIRECTORY", help="a state directory that was made before")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = options.store or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if options.store is None:
            print(f"{make_history(directory, THINGS, DAYS, time.time())} reports are kept", flush=True)
        pages = find_pages(Summaries(directory))
        answers, memory = measure(directory, pages)
    calls, paged = measure_api()
    bars = [*judge(answers, memory), *judge_api(calls, paged)]
    section = "\n".join([*describe(answers, memory), *describe_bars(bars)])
    print(section)
    RESULTS.write_text(replace_section(RESULTS.read_text(), HEADING, section))
    return 0 if all(met for *_, met in bars) else 1


def find_pages(store: Summaries) -> dict[str, str]:
    """Return the pages that are measured; bars go by the word that a name begins with."""
    thing = store.alarms(Choice(), 1)[0].thing
    always = next(store.things()).name  # the first by name reports every 300 s all the time
    return {
        "overview, 24 h": "/",
        "overview, 14 d": "/?range=14d",
        "things": "/things",
        "things, searched": "/things?name=camera&page=3",
        "thing, 24 h": f"/things/{thing}",
        "thing, 14 d": f"/things/{thing}?range=14d",
        "thing, 14 d, every 300 s": f"/things/{always}?range=14d",
        "alarms": "/alarms",
        "alarms, past": "/alarms?when=past",
        "profiles": "/profiles",
        "metrics": "/metrics",
    }


def measure(directory: Path, pages: Mapping[str, str]) -> tuple[dict[str, list[Answer]], float]:
    """Return the answers of each page, and the console's most resident memory in MB."""
    answers: dict[str, list[Answer]] = {name: [] for name in pages}
    with running(directory) as (process, port, token):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        headers = {"Cookie": enter(connection, token)}
        for turn in range(ROUNDS + 2):
            for name, path in pages.items():
                before = processor_time(process.pid)
                answer = ask(connection, path, headers)
                answer = answer._replace(busy=processor_time(process.pid) - before)
                answers[name] += [answer] if turn >= 2 else []
        peak = psutil.Process(process.pid).memory_info().rss / 1e6
    return answers, peak


@contextlib.contextmanager
def running(directory: Path) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """Run the console: its process, port and token."""
    with tempfile.TemporaryDirectory() as place:
        config = Path(place) / "detect.json"
        profiles = [str(PROFILES / "examples" / "network-baseline.json"), str(PROFILES / "cpu-usage.json")]
        agent = {"state_directory": str(directory.resolve())}
        config.write_text(json.dumps({"agent": agent, "detect": {"profiles": profiles, "api": {"port": 0}}}))
        command = [sys.executable, str(ROOT / "amazon-defender-detect"), "console", str(config), "--console-port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            found = re.search(r":(\d+)/\?token=(\S+)", process.stdout.readline() if process.stdout else "")
            if found is None:
                raise SystemExit("the console did not start")
            try:
                yield process, int(found[1]), found[2]
            finally:
                process.send_signal(signal.SIGTERM)


def enter(connection: http.client.HTTPConnection, token: str) -> str:
    """Return the cookie that opens the pages."""
    connection.request("GET", f"/?token={token}")
    answer = connection.getresponse()
    answer.read()
    return str(answer.getheader("set-cookie")).partition(";")[0]


def ask(connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]) -> Answer:
    """Return how long a page takes, whole."""
    started = time.perf_counter()
    connection.request("GET", path, headers=dict(headers))
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status}")
    return Answer((time.perf_counter() - started) * 1000, 0.0, len(body))


def processor_time(pid: int) -> float:
    """Return how long all threads of a process were on a processor, in milliseconds."""
    spent = [int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(spent) / 1e6


def measure_api() -> tuple[float, float]:
    """Return how many calls a second one client of boto3 makes, and in how many seconds it pages through all alarms."""
    with tempfile.TemporaryDirectory() as place:
        with Store(place, interval=3600, clock=lambda: NOW) as store:
            for number in range(VIOLATIONS):
                store.add(f"t{number:05}", NOW, {"n": 1}, [make_alarm(number)])
            store.flush()
        with running(Path(place)) as (process, *_):
            found = re.search(r":(\d+) ", process.stdout.readline() if process.stdout else "")
            client = boto3.client(
                "iot", endpoint_url=f"http://127.0.0.1:{found[1] if found else 0}", region_name="local",
                aws_access_key_id="any", aws_secret_access_key="any",  # noqa: S106 - nothing is checked
            )  # fmt: skip
            client.list_active_violations(maxResults=4)
            started = time.perf_counter()
            for _ in range(CALLS):
                client.list_active_violations(maxResults=4)
            calls = CALLS / (time.perf_counter() - started)
            started = time.perf_counter()
            pages = client.get_paginator("list_active_violations").paginate()
            if sum(len(page["activeViolations"]) for page in pages) != VIOLATIONS:
                raise SystemExit("the API left some out")
            return calls, time.perf_counter() - started


def make_alarm(number: int) -> Event:
    """Return an alarm that begins."""
    criteria = {"comparisonOperator": "less-than", "value": {"number": 75}}
    of = f"id-{number:05}", f"t{number:05}", "cpu-usage", "cpu", "cpu_usage", IN_ALARM, NOW + number / 100
    return Event(*of, 99.5, criteria, "number", False)


def judge_api(calls: float, paged: float) -> Iterator[tuple[str, str, str, bool]]:
    """Yield the bars of the API."""
    yield "calls a second of one boto3 client", ">= 200", f"{calls:.0f}", calls >= 200
    yield f"{VIOLATIONS:,} violations paged through, s", "<= 10", f"{paged:.1f}", paged <= 10


def percentile(times: list[float], share: float) -> float:
    """Return the time within which a share of the answers came, by nearest rank."""
    times = sorted(times)
    return times[min(len(times) - 1, int(share * len(times)))]


def judge(answers: Mapping[str, list[Answer]], memory: float) -> Iterator[tuple[str, str, str, bool]]:
    """Yield each bar, what it demands, what was measured, and whether that meets it."""
    for name, found in answers.items():
        most = BARS.get(name.partition(",")[0])
        if most is not None:
            value = percentile([each.milliseconds for each in found], 0.95)
            yield f"{name}, p95, ms", f"<= {most:g}", f"{value:.0f}", value <= most
    yield "memory, MB", f"<= {MOST_MEMORY:g}", f"{memory:.0f}", memory <= MOST_MEMORY


def describe(answers: Mapping[str, list[Answer]], memory: float) -> Iterator[str]:
    """Make the table of the pages."""
    yield from (HEADING, "", METHOD, "")
    machine = f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    yield f"{machine}, load {os.getloadavg()[0]:.1f}; {memory:.0f} MB."
    yield from ("", "| page | median, ms | p95, ms | processor, p95, ms | KB |", "|---|---:|---:|---:|---:|")
    for name, found in answers.items():
        times, busy = [each.milliseconds for each in found], percentile([each.busy for each in found], 0.95)
        median, late, size = percentile(times, 0.5), percentile(times, 0.95), found[-1].size / 1000
        yield f"| {name} | {median:.0f} | {late:.0f} | {busy:.0f} | {size:.0f} |"


if __name__ == "__main__":
    sys.exit(main())

"""The benchmark of Detect: as many reports as AWS takes of an account, over TLS, and whether each bar is met.

AWS takes 3,500 reports a second. 100,000 things that have reported for an hour, and whose states one Detect restores,
send one report each at that rate; every reply and every row in the store is counted. What evaluating takes is measured
alone before that, in CPU time of one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.evaluation import REPLAYED, Measured, measure_evaluation, measure_replay
from benchmarks.fleet import make_report
from benchmarks.run import DETECT as HEADING
from benchmarks.run import RESULTS, describe_bars, replace_section
from benchmarks.serving import DETECT, measure_serving
from defender_detect.profiles import read_profile

THINGS, RATE = 100_000, 3500.0  # each reports once, which takes 29 s; AWS's quota of reports a second
FULL_RATE = 10_000.0  # reports a second, which are three million things at 300 s
STALL = 10.0  # seconds in which the database takes nothing and nobody reads the log
QUICK_THINGS = 10_000
EVALUATED = 2_000  # things that are evaluated alone, for twice that many reports, of which the second half counts

COUNTS = {
    "num-established": ("aws:num-established-tcp-connections", 50, None),
    "bytes-out-5-minutes": ("aws:all-bytes-out", 10_000_000, 300),
    "bytes-out-hour": ("aws:all-bytes-out", 50_000_000, 3600),
    "bytes-in-hour": ("aws:all-bytes-in", 500_000_000, 3600),
    "packets-out-15-minutes": ("aws:all-packets-out", 1_000_000, 900),
}  # a behavior's name: its metric, the most that is normal, and durationSeconds
PRIVATE = ["10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "203.0.113.0/24"]

METHOD = """\
Written by `make bench-detect`. One `amazon-defender-detect` with a profile of ten behaviors (of ports, CIDRs, numbers,
sums over up to an hour and a percentile) and the states of 100,000 things that have reported for an hour. Each of them
sends one report of {size:,} bytes (eight ports, ten connections, traffic, two custom metrics; one in a hundred raises
an alarm), 3,500 a second, to mosquitto over TLS, which shares the cores with Detect and the sender. The delay of a
verdict is from when its report was due to when its reply is there. Then others report 10,000 a second, twice: the
second time the database is locked and nobody reads the log for the first ten seconds. Evaluating alone
(`metric_values` and `Detector.observe`) is CPU time of one thread, with an hour of history. The replay is `--replay` of
a file with three reports of each thing."""


def main() -> int:
    """Run the benchmark; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the things; writes nothing")
    parser.add_argument("--program", default=str(DETECT), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as directory:
        profile = write_profile(Path(directory))
        evaluated = measure_evaluation(read_profile(profile), EVALUATED)
        print(f"evaluates {evaluated:,.0f} reports a second ...", flush=True)
        things = QUICK_THINGS if arguments.quick else THINGS
        replayed = measure_replay(Path(directory), profile, things, arguments.program)
        print(f"replays {REPLAYED * things:,} reports in {replayed['cpu']:.0f} s of CPU time ...", flush=True)
        measured = measure_serving(Path(directory) / "quota", profile, things, arguments.program, RATE)
        print(f"took {RATE:,.0f} reports a second ...", flush=True)
        full = measure_serving(Path(directory) / "full", profile, things, arguments.program, FULL_RATE)
        print(f"took {full['accepted']:,} of {things:,} at {FULL_RATE:,.0f} a second ...", flush=True)
        stalled = measure_serving(Path(directory) / "stalled", profile, things, arguments.program, FULL_RATE, STALL)
    measured.update({f"replay {name}": value for name, value in replayed.items()})
    measured.update({f"full {name}": value for name, value in full.items()})
    measured.update({f"stalled {name}": value for name, value in stalled.items()})
    bars = list(judge(evaluated, measured, things))
    section = "\n".join([*describe(evaluated, measured, load), *describe_bars(bars)])
    print("\n" + section)
    if not arguments.quick:
        RESULTS.write_text(replace_section(RESULTS.read_text(), HEADING, section))
    return 0 if all(met for *_, met in bars) else 1


def write_profile(directory: Path) -> Path:
    """Write a profile of ten behaviors, each of another sort; return its path."""
    behaviors = [
        make_behavior("tcp-ports", "aws:listening-tcp-ports", "in-port-set", {"ports": [22, 80, 443, 8883, 9100]}),
        make_behavior("udp-ports", "aws:listening-udp-ports", "in-port-set", {"ports": [68, 123, 546, 5353]}),
        make_behavior("destinations", "aws:destination-ip-addresses", "in-cidr-set", {"cidrs": PRIVATE}),
        *(
            make_behavior(name, metric, "less-than-equals", {"count": most}, duration)
            for name, (metric, most, duration) in COUNTS.items()
        ),
        make_behavior("cpu-usage", "cpu_usage", "less-than-equals", {"number": 75}),
        {
            "name": "packets-in-percentile",
            "metric": "aws:all-packets-in",
            "criteria": {
                "comparisonOperator": "less-than-equals",
                "durationSeconds": 300,
                "statisticalThreshold": {"statistic": "p100"},
            },
        },
    ]
    path = directory / "profile.json"
    path.write_text(json.dumps({"securityProfileName": "benchmark", "behaviors": behaviors}))
    return path


def make_behavior(
    name: str, metric: str, comparison: str, value: dict[str, Any], duration: int | None = None
) -> dict[str, Any]:
    """Return a behavior's JSON."""
    criteria = {"comparisonOperator": comparison, "value": value, **({"durationSeconds": duration} if duration else {})}
    return {"name": name, "metric": metric, "criteria": criteria}


def describe(evaluated: float, measured: Measured, load: float) -> Iterator[str]:
    """Make the table of what was measured."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    yield HEADING
    yield ""
    yield METHOD.format(size=len(make_report(0, 12.5)))
    yield ""
    yield f"* {model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    yield f"* paho-mqtt {version('paho-mqtt')}, msgspec {version('msgspec')}, SQLite {sqlite3.sqlite_version}"
    yield f"* load average of the machine before: {load:.2f}"
    yield ""
    yield "| | |"
    yield "|---|---:|"
    yield f"| reports sent | {measured['sent']:,} in {measured['seconds']:.1f} s |"
    yield f"| the sender was late at most, ms | {1e3 * measured['late']:.0f} |"
    yield f"| accepted, rejected | {measured['accepted']:,}, {measured['rejected']:,} |"
    yield f"| kept: reports, alarms | {measured['kept']:,}, {measured['events']:,} |"
    for name in ("p50", "p99", "max"):
        yield f"| publish to verdict, {name}, ms | {1e3 * measured[name]:.0f} |"
    yield f"| p99 of the worst second, ms | {1e3 * measured['worst second']:.0f} |"
    for name, title in (("detect cpu", "Detect"), ("broker cpu", "mosquitto"), ("fleet cpu", "the sender")):
        yield f"| CPU µs for a report: {title} | {1e6 * measured[name] / measured['sent']:.0f} |"
    yield f"| CPU µs for a report: evaluating alone | {1e6 / evaluated:.0f} |"
    for name, title in (("full", "10,000 a second"), ("stalled", "10,000 a second, log and database blocked for 10 s")):
        yield f"| {title}: accepted, kept | {measured[name + ' accepted']:,}, {measured[name + ' kept']:,} |"
        yield f"| {title}: publish to verdict, p99, ms | {1e3 * measured[name + ' p99']:.0f} |"
        cpu = measured[f"{name} detect cpu"] / max(1, measured[f"{name} accepted"])
        yield f"| {title}: CPU µs for a report: Detect | {1e6 * cpu:.0f} |"
        yield f"| {title}: peak RSS, MB | {measured[name + ' peak'] / 1e6:.0f} |"
    yield f"| replay of {REPLAYED} reports of each thing: CPU s | {measured['replay cpu']:.0f} |"
    yield f"| replay: peak RSS, MB | {measured['replay peak'] / 1e6:.0f} |"
    for name, title in (("restored", "restored"), ("rss", "after the reports"), ("peak", "peak")):
        yield f"| Detect's RSS, MB: {title} | {measured[name] / 1e6:.0f} |"


def judge(evaluated: float, measured: Measured, things: int) -> Iterator[tuple[str, str, str, bool]]:
    """Yield each bar's name, demand, measured value, and whether it is met."""
    rate = measured["sent"] / measured["seconds"]
    yield "reports a second", f">= {RATE:,.0f}", f"{rate:,.0f}", rate >= 0.99 * RATE
    for name, key in (("reports accepted", "accepted"), ("reports kept", "kept")):
        yield name, f"= {things:,}", f"{measured[key]:,}", measured[key] == things
    yield "publish to verdict, p99, ms", "< 250", f"{1e3 * measured['p99']:.0f}", measured["p99"] < 0.25
    for name, title in (("full", "10,000 a second"), ("stalled", "10,000 a second, log and database blocked for 10 s")):
        kept = min(measured[f"{name} accepted"], measured[f"{name} kept"])
        yield f"{title}: accepted and kept", f"= {things:,}", f"{kept:,}", kept == things
    spent = measured["full detect cpu"] / max(1, measured["full accepted"])
    yield "10,000 a second: reports for a CPU second", ">= 10,000", f"{1 / spent:,.0f}", spent <= 1e-4
    yield "evaluated a second on one core", ">= 20,000", f"{evaluated:,.0f}", evaluated >= 20_000
    yield (
        f"replay of {REPLAYED * things:,} reports, CPU s",
        "<= 60",
        f"{measured['replay cpu']:.0f}",
        (measured["replay cpu"] <= 60),
    )
    memory = measured["peak"] / 1e6
    yield f"peak RSS with {things:,} things, MB", "<= 400", f"{memory:.0f}", memory <= 400


if __name__ == "__main__":
    sys.exit(main())

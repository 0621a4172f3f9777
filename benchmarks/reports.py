"""The benchmark of judging: what a verdict on a report takes, in JSON and CBOR, with long and short names.

Every form takes its turn in each round of one run, and its fastest round counts, so that ratios hold on a busy machine.
With `--against DIRECTORY` the same is measured with another checkout's `defender_detect`, in turns with this one's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HEADING = "## Judging a report"
CONNECTIONS = 50
ROUNDS, CALLS = 60, 40  # of each form; a round takes a few milliseconds
TURNS = 5  # of each checkout
LARGEST_RATIO = 3.0  # of CBOR to JSON, with the same names, of the verdict alone
LARGEST_WHOLE_RATIO = 2.0  # of all that is done for a report: the verdict, ten behaviors, the reply
WHOLE = ", evaluated and answered"
INTERVAL = 300.0  # seconds
SHORT = {
    "header": "hed", "report_id": "rid", "version": "v", "metrics": "met", "custom_metrics": "cmet",
    "tcp_connections": "tc", "established_connections": "ec", "connections": "cs", "remote_addr": "rad",
    "local_port": "lp", "local_interface": "li", "total": "t", "listening_tcp_ports": "tp", "ports": "pts",
    "port": "pt", "interface": "if", "network_stats": "ns", "bytes_in": "bi", "bytes_out": "bo", "packets_in": "pi",
    "packets_out": "po",
}  # fmt: skip
METHOD = f"""\
Written by `make bench-reports`. The time of `judge` for a report of {CONNECTIONS} connections, eight ports, traffic and
two custom metrics, in one process and in turns; the fastest of {ROUNDS} rounds of {CALLS} calls. Below it the same with
all that follows: ten behaviors with an hour of history, and the reply."""

Measured = dict[str, float]  # microseconds by form, "cbor, short names" for instance


def main() -> int:
    """Run the benchmark; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, metavar="DIRECTORY", help="another checkout to measure as well")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        json.dump(measure(), sys.stdout)
        return 0
    from benchmarks.run import RESULTS, describe_bars, replace_section

    ours, theirs = measure_in_turns(arguments.against)
    bars = list(judge_bars(ours, theirs))
    section = "\n".join([*describe(ours, theirs), *describe_bars(bars)])
    print(section)
    if theirs is None:
        RESULTS.write_text(replace_section(RESULTS.read_text(), HEADING, section))
    return 0 if all(met for *_, met in bars) else 1


def measure_in_turns(other: Path | None) -> tuple[Measured, Measured | None]:
    """Return what this checkout takes, and what another one takes."""
    ours: list[Measured] = []
    theirs: list[Measured] = []
    for _ in range(TURNS):
        ours.append(measure_in(ROOT))
        theirs += [measure_in(other)] if other else []
    return fastest(ours), fastest(theirs) if other else None


def measure_in(checkout: Path) -> Measured:
    """Measure with a checkout's packages, in a process of its own."""
    command = [sys.executable, str(Path(__file__)), "--measure"]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout)}
    )
    measured: Measured = json.loads(done.stdout)
    return measured


def fastest(turns: list[Measured]) -> Measured:
    """Return the least time of each form."""
    return {form: min(each[form] for each in turns) for form in turns[0]}


def measure() -> Measured:
    """Return how long a verdict takes for each form of the report."""
    import cbor2

    from defender_detect.judge.topics import ReportTopic
    from defender_detect.judge.verdict import Accepted, judge

    payloads = {}
    for names, document in (("long", make_document()), ("short", shorten(make_document()))):
        payloads[f"json, {names} names"] = ReportTopic("thing", "json"), json.dumps(document).encode()
        payloads[f"cbor, {names} names"] = ReportTopic("thing", "cbor"), cbor2.dumps(document)
    taken = dict.fromkeys([*payloads, *(f"{form}{WHOLE}" for form in payloads)], float("inf"))
    detector = make_detector()
    for _ in range(ROUNDS):
        for form, (topic, payload) in payloads.items():
            start = time.perf_counter()
            for _ in range(CALLS):
                verdict = judge(topic, payload, 1.0)
            taken[form] = min(taken[form], 1e6 * (time.perf_counter() - start) / CALLS)
            assert isinstance(verdict, Accepted)  # noqa: S101 - what is refused takes another time
    for now in range(ROUNDS):
        for form, (topic, payload) in payloads.items():
            start = time.perf_counter()
            for each in range(CALLS):
                verdict = judge(topic, payload, 1e9 + INTERVAL * now)
                assert isinstance(verdict, Accepted)  # noqa: S101
                detector.observe(f"{form}-{each}", verdict.report, 1e9 + INTERVAL * now)
                verdict.reply()
            whole = f"{form}{WHOLE}"
            taken[whole] = min(taken[whole], 1e6 * (time.perf_counter() - start) / CALLS)
    return taken


def make_detector() -> Any:
    """Return a detector of ten behaviors."""
    from benchmarks.detect import write_profile
    from defender_detect.evaluate.detector import Detector
    from defender_detect.profiles import read_profile

    with tempfile.TemporaryDirectory() as directory:
        return Detector.of([read_profile(write_profile(Path(directory)))])


def make_document() -> dict[str, Any]:
    """Return a report with long names."""
    connections = [
        {"remote_addr": f"192.0.2.{each}:{40_000 + each}", "local_port": 8883 + each, "local_interface": "eth0"}
        for each in range(CONNECTIONS)
    ]
    return {
        "header": {"report_id": 1_796_000_123, "version": "1.0"},
        "metrics": {
            "tcp_connections": {"established_connections": {"connections": connections, "total": CONNECTIONS}},
            "listening_tcp_ports": {
                "ports": [{"port": 8000 + each, "interface": "eth0"} for each in range(8)],
                "total": 8,
            },
            "network_stats": {"bytes_in": 123456789, "bytes_out": 3456789, "packets_in": 12345, "packets_out": 4567},
        },
        "custom_metrics": {"cpu_usage": [{"number": 12.5}], "process_names": [{"string_list": ["sshd", "cron"]}]},
    }


def shorten(value: Any) -> Any:
    """Return a document with short names."""
    if isinstance(value, dict):
        return {SHORT.get(name, name): shorten(each) for name, each in value.items()}
    return [shorten(each) for each in value] if isinstance(value, list) else value


def describe(ours: Measured, theirs: Measured | None) -> Iterator[str]:
    """Make the table of what was measured."""
    yield f"{HEADING}\n\n{METHOD}\n"
    yield "| form | µs |" + (" the other checkout, µs |" if theirs else "")
    yield "|---|---:|" + ("---:|" if theirs else "")
    for form, taken in ours.items():
        yield f"| {form} | {taken:.1f} |" + (f" {theirs[form]:.1f} |" if theirs else "")


def judge_bars(ours: Measured, theirs: Measured | None) -> Iterator[tuple[str, str, str, bool]]:
    """Yield each bar's name, demand, measured value, and whether it is met."""
    for names in ("long", "short"):
        ratio = ours[f"cbor, {names} names"] / ours[f"json, {names} names"]
        yield f"CBOR over JSON, {names} names", f"<= {LARGEST_RATIO:g}", f"{ratio:.2f}", ratio <= LARGEST_RATIO
        ratio = ours[f"cbor, {names} names{WHOLE}"] / ours[f"json, {names} names{WHOLE}"]
        title, most = f"CBOR over JSON, {names} names{WHOLE}", LARGEST_WHOLE_RATIO
        yield title, f"<= {most:g}", f"{ratio:.2f}", ratio <= most
    for form in ours if theirs else ():
        ratio = ours[form] / (theirs or {})[form]
        yield f"{form}, over the other checkout", "<= 1", f"{ratio:.2f}", ratio <= 1


if __name__ == "__main__":
    sys.exit(main())

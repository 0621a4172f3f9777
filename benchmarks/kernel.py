"""The benchmark of the kernel: what a report takes from bytes to bytes, and how many bytes a thing's state has.

One thread judges and evaluates reports of things with an hour of history, by the profile of `make bench-detect`: as the
single process does, and as an engine would, with the state of each thing packed between two reports. Both take turns.
With `--against DIRECTORY` the single process of another checkout takes its turns, too, and is what the bars are about.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HEADING = "## The kernel of Detect"
THINGS = 300
HISTORY = 12  # reports of each thing before the first that counts: an hour of them
ROUNDS = 40  # of which the fastest counts, so that a busy machine says the same
TURNS = 5  # of each checkout
INTERVAL = 300.0  # seconds between two reports of a thing
LEAST_SPEED, MOST_BYTES = 0.9, 750  # of the single process's; of a state
METHOD = f"""\
Written by `make bench-kernel`. `judge`, `metric_values` and then `Detector.observe` or `kernel.observe`, in CPU time of
one thread, for {THINGS} things with an hour of history and ten behaviors; the fastest of {ROUNDS} rounds in
{TURNS} turns counts. The state is what an engine keeps of a thing between two reports."""

Measured = dict[str, float]


def main() -> int:
    """Run the benchmark; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, metavar="DIRECTORY", help="another checkout to measure as well")
    parser.add_argument("--measure", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        json.dump(measure(arguments.measure == "ours"), sys.stdout)
        return 0
    from benchmarks.run import RESULTS, describe_bars, replace_section

    measured = measure_in_turns(arguments.against)
    bars = list(judge_bars(measured))
    section = "\n".join([*describe(measured), *describe_bars(bars)])
    print(section)
    if arguments.against is None:
        RESULTS.write_text(replace_section(RESULTS.read_text(), HEADING, section))
    return 0 if all(met for *_, met in bars) else 1


def measure_in_turns(other: Path | None) -> Measured:
    """Return what was measured of both, in processes of their own; the other one in the names with `other`."""
    turns: list[Measured] = []
    for _ in range(TURNS):
        theirs = measure_in(other, "theirs") if other else {}
        turns.append({**measure_in(ROOT, "ours"), **{f"other {name}": value for name, value in theirs.items()}})
    return {name: min(each[name] for each in turns) for name in turns[0]}


def measure_in(checkout: Path, whose: str) -> Measured:
    """Measure with a checkout's packages."""
    command = [sys.executable, str(Path(__file__)), "--measure", whose]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=checkout, env=environment)
    measured: Measured = json.loads(done.stdout)
    return measured


def measure(has_kernel: bool) -> Measured:
    """Return the microseconds that a report takes in the single process and in the kernel, and the bytes of states."""
    ways: dict[str, Callable[[str, int, float], None]] = {"process": make_process()}
    states: dict[str, bytes] = {}
    if has_kernel:
        ways["kernel"] = make_kernel(states)
    names = [f"benchmark-thing-{number:07d}" for number in range(THINGS)]
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(HISTORY + ROUNDS):
        for way, evaluate in ways.items():
            before = time.thread_time()
            for number, name in enumerate(names):
                evaluate(name, number, 1e9 + turn * INTERVAL + number * 0.1)
            taken[way].append((time.thread_time() - before) / THINGS * 1e6)
    sizes = sorted(map(len, states.values()))
    bytes_of = {"median bytes": sizes[len(sizes) // 2], "most bytes": sizes[-1]} if sizes else {}
    return {**{way: min(rounds[HISTORY:]) for way, rounds in taken.items()}, **bytes_of}


def read() -> tuple[Any, list[bytes]]:
    """Return the profile of the benchmark of Detect, and its reports: one in ten is of a busy thing, in alarm."""
    from benchmarks.detect import write_profile
    from benchmarks.fleet import make_report
    from defender_detect.profiles import read_profile

    with tempfile.TemporaryDirectory() as directory:
        profile = read_profile(write_profile(Path(directory)))
    return profile, [make_report(0, 99.0)] + [make_report(0, 12.5)] * 9


def make_process() -> Callable[[str, int, float], None]:
    """Return what one process does with a report."""
    from defender_detect.evaluate.detector import Attachment, Detector, Rules
    from defender_detect.judge.topics import ReportTopic
    from defender_detect.judge.verdict import Accepted, LastReports, judge

    profile, reports = read()
    detector, last = Detector(Rules([Attachment(profile)])), LastReports()

    def evaluate(name: str, number: int, now: float) -> None:
        verdict = judge(ReportTopic(name, "json"), reports[number % 10], now, last.find(name))
        assert isinstance(verdict, Accepted)  # noqa: S101 - what is refused takes another time
        last.remember(verdict, now)
        detector.observe(name, verdict.report, now)

    return evaluate


def make_kernel(states: dict[str, bytes]) -> Callable[[str, int, float], None]:
    """Return what an engine does with a report, that keeps the states."""
    from defender_detect.evaluate import kernel
    from defender_detect.evaluate.detector import Attachment, Rules
    from defender_detect.judge.topics import ReportTopic
    from defender_detect.judge.verdict import Accepted, LastReport, judge
    from defender_detect.metrics import metric_values

    profile, reports = read()
    rules = Rules.from_json(Rules([Attachment(profile)]).to_json())

    def evaluate(name: str, number: int, now: float) -> None:
        state, ruleset = states.get(name, kernel.UNKNOWN), rules.of(name)
        last = kernel.last_report(state)
        verdict = judge(ReportTopic(name, "json"), reports[number % 10], now, LastReport(*last) if last else None)
        assert isinstance(verdict, Accepted)  # noqa: S101 - what is refused takes another time
        values, thresholds = metric_values(verdict.report), rules.thresholds(ruleset, now)
        outcome = kernel.observe(state, ruleset, name, values, verdict.report_id, now, thresholds)
        rules.count(outcome.datapoints)
        states[name] = outcome.state

    return evaluate


def describe(measured: Measured) -> Iterator[str]:
    """Make the table of what was measured."""
    yield f"{HEADING}\n\n{METHOD}\n"
    yield "| | reports a second of CPU time | µs a report |"
    yield "|---|---:|---:|"
    for name, what in (("process", "single process"), ("kernel", "kernel"), ("other process", "the other checkout's")):
        if name in measured:
            yield f"| {what} | {1e6 / measured[name]:,.0f} | {measured[name]:.1f} |"
    yield f"\nBytes of a state: {measured['median bytes']:,.0f} (median), {measured['most bytes']:,.0f} (most)."


def judge_bars(measured: Measured) -> Iterator[tuple[str, str, str, bool]]:
    """Yield each bar's name, demand, measured value, and whether it is met."""
    whose = "the other checkout's" if "other process" in measured else "the single process's"
    reference = measured.get("other process", measured["process"])
    for way in ("kernel", "process") if "other process" in measured else ("kernel",):
        speed = reference / measured[way]
        yield f"speed of the {way} over {whose}", f">= {LEAST_SPEED:g}", f"{speed:.2f}", speed >= LEAST_SPEED
    most = measured["most bytes"]
    yield "bytes of a state", f"<= {MOST_BYTES}", f"{most:,.0f}", most <= MOST_BYTES


if __name__ == "__main__":
    sys.exit(main())

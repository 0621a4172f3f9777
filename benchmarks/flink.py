"""The benchmark of the job on Apache Flink: reports per CPU second of a TaskManager, and how long a kill holds it up.

A cluster on loopback, made of the wheel: thread mode, RocksDB, a checkpoint every 10 s. What counts is the CPU time of
the one TaskManager's process, which has run the same job before, so that its JVM is warm. Then TaskManagers are killed
at random moments, and a JobManager beside which another one stands by; the alarms have to be those of one process.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.run import RESULTS, describe_bars, replace_section
from demo.flink.cluster import Cluster
from demo.flink.reports import make_document, make_percentile_profile, make_profile, make_records, write_records
from demo.flink.scene import Scene
from demo.flink.single import evaluate, in_order

HEADING = "## Detect on Apache Flink"
THINGS, ROUNDS = 20_000, 10
WARM = 2_000  # things, for the job that comes first
KILLED = 6_000  # things, for the kills
KILLS = 3
LEAST_RATE, MOST_SECONDS = 4000, 15.0
PERCENTILES = {"ten behaviors": "off", "ten behaviors, and one with a percentile over all things": "on"}
METHOD = """\
Written by `make bench-flink`. A JobManager and one TaskManager of Apache Flink's wheel on loopback, thread mode,
RocksDB, a checkpoint every 10 s; {reports:,} reports of {things:,} things with ten behaviors, from a file, as the
records that a rule of AWS IoT makes, base64 included. CPU is that of the TaskManager's process from the job's start to
its end, after another job has warmed its JVM. All reports come at once, so that those with a percentile all wait for
its threshold, which few do that come as they arise. A restart is counted from the kill until all tasks of the job run
again; another TaskManager or JobManager stands by. The load of the machine was {load:.1f} on {cores} cores."""

Bar = tuple[str, str, str, bool]


def main() -> int:
    """Run the benchmark; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the things, and no kills; writes nothing")
    arguments = parser.parse_args()
    things = THINGS // 10 if arguments.quick else THINGS
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as directory:
        measured = {name: measure_rate(Path(directory, each), things, each) for name, each in PERCENTILES.items()}
        restarts = [] if arguments.quick else list(measure_kills(Path(directory)))
    bars = list(judge(measured, restarts))
    section = "\n".join([*describe(measured, restarts, things, load), *describe_bars(bars)])
    print("\n" + section)
    if not arguments.quick:
        RESULTS.write_text(replace_section(RESULTS.read_text(), HEADING, section))
    return 0 if all(met for *_, met in bars) else 1


def measure_rate(directory: Path, things: int, percentiles: str) -> dict[str, float]:
    """Return what a warm TaskManager takes."""
    profiles = [make_profile(), *([make_percentile_profile()] if percentiles == "on" else [])]
    warm, real = (
        Scene(directory / name, make_document(*profiles), percentiles=percentiles) for name in ("warm", "real")
    )
    write_records(warm.records / "reports.jsonl", min(WARM, things), ROUNDS)
    number = write_records(real.records / "reports.jsonl", things, ROUNDS)
    with Cluster(directory) as cluster:
        cluster.start(1)
        cluster.wait_until_done(cluster.submit(warm.properties()))
        (worker,) = cluster.task_managers.values()
        (leader,) = cluster.job_managers.values()
        before = cpu_of(worker.pid), cpu_of(leader.pid)
        job = cluster.submit(real.properties())
        cluster.wait_until_done(job, seconds=1800)
        spent = cpu_of(worker.pid) - before[0]
        state = cluster.get(f"/jobs/{job}/checkpoints")["summary"]["state_size"]["max"]
        measured = {"reports": number, "rate": number / spent, "leader": (cpu_of(leader.pid) - before[1]) / spent}
    print(f"{measured['rate']:,.0f} reports per CPU second, percentiles {percentiles}", flush=True)
    return {**measured, "alarms": len(real.alarms()), "bytes": state / things}


def measure_kills(directory: Path) -> Iterator[tuple[str, float, bool]]:
    """Yield who was killed, how long that held the job up, and whether the alarms were those of one process."""
    document = make_document(make_profile())
    records = list(make_records(KILLED, ROUNDS))
    expected = in_order(evaluate(records, [(0.0, document)]))
    for who, kills in (("TaskManager", KILLS), ("JobManager", 1)):
        place = directory / who
        scene = Scene(place, document, percentiles="off", checkpoint_seconds="2")
        scene.add(scene.records, "reports.jsonl", records)
        seconds = []
        with Cluster(place, stands_by=who == "JobManager") as cluster:
            cluster.start(2)
            job = cluster.submit(scene.properties(is_watched=True))
            for _ in range(kills):
                cluster.wait_for(lambda: cluster.state_of(job) == "RUNNING", "the job")  # noqa: B023 - at once
                time.sleep(random.uniform(0, 3))  # noqa: S311 - at any moment of some ten seconds' work
                seconds.append(time_restart(cluster, job, who))
                cluster.wait_for_task_managers(2)
            scene.let_pass(cluster)
            cluster.stop_with_savepoint(job, drain=True)
        is_same = scene.alarms() == expected
        for each in seconds:
            print(f"running again {each:.1f} s after a {who} was killed; the same alarms: {is_same}", flush=True)
            yield who, each, is_same


def time_restart(cluster: Cluster, job: str, who: str) -> float:
    """Return how many seconds after a kill the job runs again."""
    restored, began = cluster.restored(job), time.monotonic()
    if who == "JobManager":
        cluster.kill_leader()
    else:
        cluster.kill_worker(job)

    def is_back() -> bool:
        return cluster.restored(job) != restored and cluster.state_of(job) == "RUNNING"

    cluster.wait_for(is_back, "a restart")
    return time.monotonic() - began


def cpu_of(pid: int) -> float:
    """Return the CPU seconds that a process has taken."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def describe(
    measured: dict[str, dict[str, float]], restarts: list[tuple[str, float, bool]], things: int, load: float
) -> Iterator[str]:
    """Make the section of the results."""
    reports = int(next(iter(measured.values()))["reports"])
    yield f"{HEADING}\n"
    yield METHOD.format(reports=reports, things=things, load=load, cores=os.cpu_count())
    yield "\n| profile | reports per CPU second | the JobManager's share | events | bytes of state a thing |"
    yield "|---|---:|---:|---:|---:|"
    for name, each in measured.items():
        yield f"| {name} | {each['rate']:,.0f} | {each['leader']:.0%} | {each['alarms']:,.0f} | {each['bytes']:,.0f} |"
    if restarts:
        yield "\n| killed | running again after, s |\n|---|---|"
        for who in dict.fromkeys(who for who, *_ in restarts):
            yield f"| {who} | {', '.join(f'{seconds:.1f}' for each, seconds, _ in restarts if each == who)} |"


def judge(measured: dict[str, dict[str, float]], restarts: list[tuple[str, float, bool]]) -> Iterator[Bar]:
    """Yield the bars."""
    rate = measured["ten behaviors"]["rate"]
    yield "reports per CPU second, ten behaviors", f">= {LEAST_RATE:,}", f"{rate:,.0f}", rate >= LEAST_RATE
    if restarts:
        longest = max(each for _, each, _ in restarts)
        yield "running again after a kill, s", f"<= {MOST_SECONDS:g}", f"{longest:.1f}", longest <= MOST_SECONDS
        is_same = all(same for *_, same in restarts)
        yield "alarms after kills", "those of one process", "the same" if is_same else "others", is_same


if __name__ == "__main__":
    sys.exit(main())

"""Detect on Apache Flink: a cluster on loopback, a fleet's reports, their alarms, and those of one process."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from types import FrameType

from demo.flink.cluster import Cluster, ClusterError
from demo.flink.home import NoFlink
from demo.flink.reports import make_document, make_percentile_profile, make_profile, write_records
from demo.flink.scene import Scene
from demo.flink.single import evaluate, in_order
from demo.programs import ROOT, say

THINGS, ROUNDS = 20_000, 10  # about 200,000 reports
WORKERS = 2
FEW = 5  # alarms that are shown
TELL = 10.0  # seconds between two lines about how far it is
RECORDS = "reports.jsonl"


def main(argv: list[str] | None = None) -> int:
    """Run the demo; return 0 if the cluster gives the alarms that one process gives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--things", type=int, default=THINGS, help=f"each reports {ROUNDS} times (default: {THINGS})")
    parser.add_argument("--directory", type=Path, default=ROOT / ".demo" / "flink", help="where to keep everything")
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return run(arguments.directory.resolve(), arguments.things)
    except (NoFlink, ClusterError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run(directory: Path, things: int) -> int:
    """Evaluate a fleet's reports on a cluster and in one process, and say whether the alarms are the same."""
    shutil.rmtree(directory, ignore_errors=True)
    document = make_document(make_profile(), make_percentile_profile())
    scene = Scene(directory, document)
    number = write_records(scene.records / RECORDS, things, ROUNDS)
    say(f"{number:,} reports of {things:,} things are in {scene.records / RECORDS}")
    evaluate_on_cluster(directory, scene, number)
    alarms = scene.alarms()
    show(alarms)
    say("evaluating the same reports in one process ...")
    with (scene.records / RECORDS).open() as records:
        expected = in_order(evaluate(records, [(0.0, document)]))
    is_same = alarms == expected
    difference = sum((Counter(alarms) - Counter(expected) + (Counter(expected) - Counter(alarms))).values())
    say(f"one process gives {len(expected):,} events: {'the same' if is_same else f'{difference:,} are others'}")
    return 0 if is_same else 1


def evaluate_on_cluster(directory: Path, scene: Scene, number: int) -> None:
    """Start a cluster, let the job evaluate everything, and stop the cluster."""
    with Cluster(directory) as cluster:
        say(f"starting a JobManager and {WORKERS} TaskManagers on loopback ...")
        cluster.start(WORKERS)
        say(f"the cluster shows itself on {cluster.address}")
        began = time.monotonic()
        job = cluster.submit(scene.properties(), parallelism=WORKERS)
        say(f"the job {job} runs")
        told = began

        def is_done() -> bool:
            nonlocal told
            if time.monotonic() - told > TELL:
                told = time.monotonic()
                say(f"{min(cluster.taken_by(job, 'evaluate'), number):,} of {number:,} reports")
            return cluster.is_gone(job)

        cluster.wait_for(is_done, f"job {job}", seconds=3600)
        cluster.wait_until_done(job)
        say(f"done in {time.monotonic() - began:.0f} s; stopping the cluster")


def show(alarms: list[str]) -> None:
    """Show the first alarms, and how many there are of each type."""
    events = [json.loads(line) for line in alarms]
    for event in islice(sorted(events, key=lambda each: each["violationEventTime"]), FEW):
        print(f"  {event['message']}")
    types = Counter(event["violationEventType"] for event in events)
    say(f"{len(events):,} events: " + ", ".join(f"{count:,} {name}" for name, count in sorted(types.items())))


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

"""What evaluating takes alone, in CPU time: of reports one after the other in a thread, and of a recording of them."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.fleet import make_report, name_of
from defender_detect.evaluate.detector import Attachment, Detector, Rules
from defender_detect.judge.reading import read_at_once
from defender_detect.profiles import Profile
from device_defender.report import Report

ROOT = Path(__file__).resolve().parent.parent
INTERVAL = 300.0  # seconds between two reports of a thing
HISTORY = 12  # reports of each thing before the benchmark: an hour of them
REPLAYED = 3  # reports of each thing in a recording

Measured = dict[str, Any]


def read_sample(busy: float = 12.5) -> Report:
    """Return a report of the fleet as Detect reads it."""
    reading = read_at_once(make_report(0, busy), "json")
    assert reading is not None
    return reading.report


def measure_evaluation(profile: Profile, things: int) -> float:
    """Return how many reports of things with an hour of history one thread evaluates in a second of CPU time."""
    detector, report = Detector(Rules([Attachment(profile)])), read_sample()
    names = [name_of(number) for number in range(things)]
    spent = 0.0
    for round_number in range(2 * HISTORY):
        now, before = 1e9 + round_number * INTERVAL, time.thread_time()
        for name in names:
            detector.observe(name, report, now)
        spent += time.thread_time() - before if round_number >= HISTORY else 0.0
    return things * HISTORY / spent


def measure_replay(directory: Path, profile: Path, things: int, program: str) -> Measured:
    """Return the CPU seconds and the peak memory of replaying three reports of each thing."""
    path, reports = directory / "reports.jsonl", [make_report(0, 12.5).decode(), make_report(0, 99.0).decode()]
    with path.open("w") as file:
        for number in range(REPLAYED * things):
            time_of, name = 1.7e9 + number * INTERVAL / things, name_of(number % things)
            report = reports[number % things % 100 == 0]
            file.write(f'{{"thingName": "{name}", "timestamp": {time_of:.3f}, "report": {report}}}\n')
    command = [sys.executable, program, "--replay", str(path), "--profiles", str(profile)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    path.unlink()
    assert done.stdout.splitlines()[-1].startswith(f"{REPLAYED * things} reports of {things} things evaluated")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu, "peak": after.ru_maxrss * 1024}  # the largest child so far: nothing else has been run yet

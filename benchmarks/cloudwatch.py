"""The benchmark of amazon-defender-cloudwatch: memory, CPU and time of a backlog, and no line lost over kills.

With `--upstream DIRECTORY`, a checkout of https://github.com/awslabs/amazon-cloudwatch-publisher, the program that it
comes from runs beside it: its memory, its end at SIGTERM, and the same trial. Everything speaks TLS on loopback.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.cloudwatch_scene import OURS, Double, Scene, Upstreams, ours_on, running, upstreams_on
from benchmarks.run import RESULTS, describe_bars, replace_section
from tests.cloudwatch.trial import Outcome, Trial, by_name
from tests.fakes.emulator import Emulator

ROOT = Path(__file__).resolve().parent.parent
HEADING = "## CloudWatch"
BACKLOG = 100_000_000  # bytes
SETTLED_AFTER = 15.0  # seconds; metrics and logs have been sent several times by then
PATIENCE = 180.0  # seconds for a backlog
STARTED_WITHIN = 60.0  # seconds
KILLS, ROTATIONS, LINES = 25, 15, 6_000
LONGEST_STOP = 10.0  # seconds that a program has to end
LARGEST_RSS = 24.7  # MB
WORDS = (
    *("accepted", "connection", "from", "request", "GET", "/api/v1/items", "user", "failed", "timeout", "worker"),
    *("queue", "INFO", "WARN", "after", "retry", "sensor", "value"),
)
METHOD = """\
Written by `make bench-cloudwatch`. Everything goes over TLS to a double of AWS on loopback: credentials by the device's
certificate, 14 metrics and one log. The backlog is {megabytes} MB of lines of 40 to 200 bytes that are there when the
program starts. CPU is user and system; memory is RSS as Linux counts it, in 10^6 bytes. In the trial the log is written
and renamed while the program is killed and started again, against an emulator that keeps every event."""


class Measured(NamedTuple):
    """What a program took."""

    rss: float  # MB, at rest
    uss: float  # of that, what no other process shares
    stop: float | None  # seconds from SIGTERM to its end, None where it was still there after ten


class Backlog(NamedTuple):
    """What a backlog took."""

    seconds: float
    cpu: float  # seconds
    peak: float  # MB
    lines: int
    arrived: int
    size: int  # bytes


def main() -> int:
    """Run the benchmark; 1 if a bar is not met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", type=Path, metavar="DIRECTORY", help="a checkout of the CloudWatch publisher")
    parser.add_argument("--megabytes", type=int, default=BACKLOG // 1_000_000, help="of backlog")
    parser.add_argument("--no-trial", action="store_true", help="leave out the trial with kills, which takes minutes")
    arguments = parser.parse_args()
    subprocess.run([OURS, "-m", "compileall", "-q", *map(str, ROOT.glob("de*_*"))], check=True)
    with tempfile.TemporaryDirectory() as name:
        scene = Scene(Path(name))
        with scene.aws() as double:
            theirs = None
            if arguments.upstream:
                theirs = measure(scene, double, *upstreams_on(scene, double, arguments.upstream))
            ours = measure(scene, double, *ours_on(scene, double))
        with scene.aws() as double:
            shutil.rmtree(scene.directory / "state")
            backlog = catch_up(scene, double, arguments.megabytes * 1_000_000)
    trials = {} if arguments.no_trial else dict(take_trials(arguments.upstream))
    bars = list(judge(ours, theirs, backlog, trials))
    print("\n".join(describe_bars(bars)))
    if not arguments.no_trial and arguments.upstream:
        method = METHOD.format(megabytes=arguments.megabytes)
        section = "\n".join([HEADING, "", method, "", *describe_surroundings(), *describe_bars(bars)])
        RESULTS.write_text(replace_section(RESULTS.read_text(), HEADING, section))
    return 0 if all(met for *_, met in bars) else 1


def describe_surroundings() -> Iterator[str]:
    """Say on what and beside how much else this was measured."""
    yield f"* {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    yield f"* load average of the machine at the end: {os.getloadavg()[0]:.2f}"


def _arrives(scene: Scene, double: Double, before: int) -> bool:
    write(scene.log, "a line\n")
    return double.events() > before


def measure(scene: Scene, double: Double, command: list[str], environment: dict[str, str]) -> Measured:
    """Return what a program takes that sends metrics and a few lines."""
    before = double.events()
    with running(command, **environment) as process:
        wait_for(lambda: _arrives(scene, double, before))
        time.sleep(SETTLED_AFTER)
        memory = process.memory_full_info()
        process.terminate()
        begun = time.monotonic()
        gone, _ = psutil.wait_procs([process], timeout=LONGEST_STOP)
        return Measured(memory.rss / 1e6, memory.uss / 1e6, time.monotonic() - begun if gone else None)


def write(path: Path, text: str) -> None:
    """Append to a log."""
    with path.open("a") as log:
        log.write(text)


def catch_up(scene: Scene, double: Double, size: int) -> Backlog:
    """Return what it takes to send a log of so many bytes that is there at the start."""
    lines = write_backlog(scene.log, size)
    command, environment = ours_on(scene, double, **{"from": "start"})
    before, peak = double.events(), 0.0
    with running(command, **environment) as process:
        begun = time.monotonic()
        while double.events() - before < lines and time.monotonic() - begun < PATIENCE:
            peak = max(peak, process.memory_info().rss / 1e6)
            time.sleep(0.02)
        seconds, cpu = time.monotonic() - begun, sum(process.cpu_times()[:2])
        return Backlog(seconds, cpu, peak, lines, double.events() - before, scene.log.stat().st_size)


def write_backlog(path: Path, size: int) -> int:
    """Write a log; return how many lines it has."""
    dice, lines = random.Random(1), 0  # noqa: S311 - no secret
    with path.open("w") as log:
        while log.tell() < size:
            words = " ".join(dice.choices(WORDS, k=dice.randrange(3, 20)))
            log.write(f"2026-11-30T10:{lines % 60:02d}:00.{lines % 1000:03d}Z app[{dice.randrange(9999)}]: {words}\n")
            lines += 1
    return lines


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + STARTED_WITHIN
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("a program did not send anything")
        time.sleep(0.5)


def take_trials(checkout: Path | None) -> Iterator[tuple[str, Outcome]]:
    """Yield who took part in the trial, and what became of the lines."""
    with tempfile.TemporaryDirectory() as name, Emulator(Path(name)) as emulator:
        for who in ("ours", "upstream") if checkout else ("ours",):
            directory = Path(name) / who
            directory.mkdir()
            account = emulator.account()
            trial = Upstreams(directory, account, checkout) if who != "ours" and checkout else Trial(directory, account)
            yield who, trial.run(LINES, KILLS, ROTATIONS, by_name)


def judge(
    ours: Measured, theirs: Measured | None, backlog: Backlog, trials: dict[str, Outcome]
) -> Iterator[tuple[str, str, str, bool]]:
    """Yield each bar's name, demand, measured value, and whether it is met."""
    own = f"{ours.rss:.1f} (shared with no other process: {ours.uss:.1f})"
    yield "RSS at rest, MB", f"<= {LARGEST_RSS}", own, ours.rss <= LARGEST_RSS
    if theirs is not None:
        ratio, shown = ours.rss / theirs.rss, f"upstream: {theirs.rss:.1f} MB, of which {theirs.uss:.1f} its own"
        yield "RSS over upstream's", "<= 0.4", f"{ratio:.2f} ({shown})", ratio <= 0.4
    stop = ours.stop if ours.stop is not None else LONGEST_STOP
    yield "SIGTERM to the end, s", "<= 2", f"{stop:.2f}{_stop_of(theirs)}", stop <= 2
    per_megabyte = backlog.cpu * 1e9 / backlog.size
    yield "CPU per MB of log, ms", "<= 40", f"{per_megabyte:.1f}", per_megabyte <= 40
    arrived = backlog.arrived == backlog.lines
    caught_up = f"{backlog.seconds:.1f} ({backlog.arrived:,} of {backlog.lines:,} lines)"
    yield f"{backlog.size / 1e6:.0f} MB of backlog, s", "<= 60", caught_up, arrived and backlog.seconds <= 60
    yield "its peak RSS, MB", "<= 30", f"{backlog.peak:.1f}", backlog.peak <= 30
    if "ours" in trials:
        outcome, name = trials["ours"], f"{KILLS} kills, {ROTATIONS} renames, {LINES:,} lines"
        well = (outcome.lost, outcome.twice, outcome.in_order) == (0, 0, True)
        beside = f" (upstream: {describe(trials['upstream'])})" if "upstream" in trials else ""
        yield name, "0 lost, 0 twice, in order", describe(outcome) + beside, well


def describe(outcome: Outcome) -> str:
    """Say what became of the lines of a trial."""
    return f"{outcome.lost:,} lost, {outcome.twice} twice, {'in order' if outcome.in_order else 'in another order'}"


def _stop_of(theirs: Measured | None) -> str:
    if theirs is None:
        return ""
    return f" (upstream: {f'{theirs.stop:.1f}' if theirs.stop is not None else f'not within {LONGEST_STOP:.0f}'})"


if __name__ == "__main__":
    sys.exit(main())
